# SPDX-License-Identifier: MIT
"""A store that knows how to measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from powernode.composefs.store import ObjectStore
from unit.composefs._objects import digest_fd


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore.create(tmp_path / "objects", digest_fd=digest_fd)
