# SPDX-License-Identifier: MIT
"""Our registry in this process, for those who talk to it and for the client."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from powernode.oci.client import Registry
from support.registry import Direct, client, handler
from unit.oci._talk import Talk


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """The registry waits for the disk after every step; nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda fd: os.fstat(fd) and None)
    root = tmp_path / "registry"
    return Talk(handler(root, max_blob_bytes=100_000), root)


@pytest.fixture
def direct(tmp_path: Path) -> Direct:
    return Direct(handler(tmp_path))


@pytest.fixture
def registry(direct: Direct) -> Registry:
    return client(direct)
