# SPDX-License-Identifier: MIT
"""A node for each test, in memory where there is a place: what a disk makes durable is not what is tested here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode import native
from unit.agent._node import Node

MEMORY = "/dev/shm"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as path:
        yield Path(path)


@pytest.fixture
def node(folder: Path) -> Node:
    if native.library() is None:
        pytest.skip(f"signed sets need the C library: {native.reason()}")
    return Node(folder / "node")
