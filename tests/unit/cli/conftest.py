# SPDX-License-Identifier: MIT
"""The command, and a small tree with its image and store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from powernode.cli import main
from unit.cli._command import Run, runner


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return runner(capfdbinary)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "etc").mkdir(parents=True)
    (top / "usr" / "bin").mkdir(parents=True)
    (top / "etc" / "motd").write_bytes(b"hello\n")
    (top / "usr" / "bin" / "tool").write_bytes(b"tool" * 2000)
    (top / "usr" / "bin" / "same").write_bytes(b"tool" * 2000)
    (top / "usr" / "big").write_bytes(b"big" * 9000)
    (top / "bin").symlink_to("usr/bin")
    os.utime(top / "etc" / "motd", ns=(0, 1_700_000_000_123_456_789))
    return top


@pytest.fixture
def image(tree: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Path:
    """The tree's image; its objects are in `objects` beside it."""
    path = tmp_path / "root.cfs"
    assert main(["composefs", "create", f"--digest-store={tmp_path / 'objects'}", str(tree), str(path)]) == 0
    capfdbinary.readouterr()
    return path
