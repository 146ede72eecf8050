# SPDX-License-Identifier: MIT
"""Tests that need root: each runs in a mount namespace of its own, so that nothing it mounts can stay."""

from __future__ import annotations

import ctypes
import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.namespaces import MOUNTS, run_unshared

VECTOR = Path(__file__).resolve().parents[1] / "vectors" / "mount" / "tiny.erofs.gz"
OBJECT = b"powernode\n" * 2000
OBJECT_PATH = "aa/feebcb6478f6817359f9cec79f047b5cf1bf7162181e108f7d2e4661c3d4e1"
_MS_REC_PRIVATE = 0x4000 | 0x40000

Privately = Callable[[Callable[[], None]], None]


def _keep_mounts_private() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run_privately(body: Callable[[], None]) -> None:
    run_unshared(MOUNTS, _keep_mounts_private, body)


def mounts() -> list[str]:
    """The mount table of the calling thread."""
    return Path("/proc/thread-self/mountinfo").read_text().splitlines()


def loops(folder: Path) -> set[str]:
    """The loop devices on files in `folder`; other tests and programs have their own."""
    found = set()
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # gone meanwhile
            if path.read_text().startswith(f"{folder}/"):
                found.add(path.parent.parent.name)
    return found


@pytest.fixture
def privately(tmp_path: Path) -> Iterator[Privately]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    try:
        run_privately(lambda: None)
    except OSError as error:
        pytest.skip(f"no private mount namespace here: {error}")
    before = mounts()
    yield run_privately
    assert mounts() == before, "a mount leaked"
    for _ in range(100):  # the kernel takes a namespace apart a little later than its last thread
        if not loops(tmp_path):
            break
        time.sleep(0.05)
    assert not loops(tmp_path), "a loop device leaked"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The image of tests/vectors/mount with its store and a place to mount it."""
    image = tmp_path / "tiny.erofs"
    image.write_bytes(gzip.decompress(VECTOR.read_bytes()))
    path = tmp_path / "objects" / OBJECT_PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(OBJECT)
    (tmp_path / "target").mkdir()
    return tmp_path
