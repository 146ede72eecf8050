# SPDX-License-Identifier: MIT
"""newc archives: what we write is what the format says and what busybox and we ourselves read."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.archive import cpio
from powernode.base.errors import DataError, OperatorError

CONSOLE = cpio.device("dev/console", stat.S_IFCHR | 0o600, 5, 1)
SMALL = [cpio.file("init", b"#!/bin/sh\n", 0o755), cpio.symlink("bin", "usr/bin"), CONSOLE]


def packed(entries: list[cpio.Entry], mtime: int = 0) -> bytes:
    out = io.BytesIO()
    cpio.write(out, entries, mtime=mtime)
    return out.getvalue()


def test_the_bytes_of_one_entry() -> None:
    head = b"07070100000001000081A40000000000000000000000010000002A00000005"
    head += b"000000000000000000000000000000000000000200000000"
    start = head + b"a\0" + b"hello\0\0\0"  # a header and a name of 112 bytes need no filling
    assert packed([cpio.file("a", b"hello")], mtime=42)[: len(start)] == start


def test_it_ends_with_a_trailer_and_whole_blocks() -> None:
    archive = packed(SMALL)
    assert archive.rstrip(b"\0").endswith(b"TRAILER!!!")
    assert len(archive) % 512 == 0


def test_parents_are_made_once_and_come_first() -> None:
    paths = [entry.path for entry in cpio.read(packed([cpio.file("a/b/c", b""), cpio.file("a-b", b"")]))]
    assert paths == ["a", "a/b", "a/b/c", "a-b"]


def test_a_named_parent_keeps_its_mode() -> None:
    entries = [cpio.file("root/key", b"k", 0o600), cpio.directory("root", 0o700)]
    assert [oct(entry.mode) for entry in cpio.read(packed(entries))] == ["0o40700", "0o100600"]


def test_the_order_does_not_matter() -> None:
    assert packed(SMALL) == packed(SMALL[::-1]) == packed(SMALL + SMALL)


REFUSED = {
    "archive.cpio.path": [
        cpio.file("/init", b""),
        cpio.file("a/../b", b""),
        cpio.file("", b""),
        cpio.file("TRAILER!!!", b""),
        cpio.file("a" * 4096, b""),
    ],
    "archive.cpio.kind": [
        cpio.Entry(path="socket", mode=stat.S_IFSOCK | 0o600),
        cpio.Entry(path="folder-with-data", mode=stat.S_IFDIR | 0o755, data=b"x"),
        cpio.Entry(path="file-with-a-device-number", mode=stat.S_IFREG | 0o644, device=(1, 3)),
    ],
    "archive.cpio.field": [cpio.device("dev/null", stat.S_IFCHR | 0o666, 1 << 32, 0)],
}


@pytest.mark.parametrize(
    ("code", "entry"), [pytest.param(c, e, id=f"{c}:{e.path[:20]}") for c, es in REFUSED.items() for e in es]
)
def test_what_cannot_be_written_is_refused(code: str, entry: cpio.Entry) -> None:
    with pytest.raises(OperatorError) as refusal:
        packed([entry])
    assert refusal.value.code == code


def test_two_different_files_with_one_name_are_refused() -> None:
    with pytest.raises(OperatorError) as refusal:
        packed([cpio.file("a", b"1"), cpio.file("a", b"2")])
    assert refusal.value.code == "archive.cpio.twice"


def test_a_file_cannot_hold_files() -> None:
    with pytest.raises(OperatorError) as refusal:
        packed([cpio.file("a", b"1"), cpio.file("a/b", b"2")])
    assert refusal.value.code == "archive.cpio.parent"


def test_a_time_past_the_field_is_refused() -> None:
    with pytest.raises(OperatorError) as refusal:
        packed(SMALL, mtime=1 << 32)
    assert refusal.value.code == "archive.cpio.field"


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut-in-the-header": lambda a: a[:50],
    "cut-in-the-data": lambda a: a[: a.index(b"#!/bin") + 3],
    "no-trailer": lambda a: a[: a.index(b"070701", a.index(b"init\0"))],
    "old-magic": lambda a: b"070707" + a[6:],
    "sign-in-a-field": lambda a: a[:6] + b"+0000001" + a[14:],
    "letters-in-a-field": lambda a: a[:6] + b"0000000Z" + a[14:],
    "empty-name": lambda a: a[:94] + b"00000001" + a[102:],
    "name-without-an-end": lambda a: a[:94] + b"00000002" + a[102:],
    "huge-file": lambda a: a[:54] + b"FFFFFFFF" + a[62:],
}


@pytest.mark.parametrize("defect", DAMAGE)
def test_damaged_archives_are_refused(defect: str) -> None:
    with pytest.raises(DataError) as refusal:
        list(cpio.read(DAMAGE[defect](packed(SMALL))))
    assert refusal.value.code == "archive.cpio.damaged"


@given(st.dictionaries(st.text("ab-.é", min_size=1, max_size=6), st.binary(max_size=9), max_size=8))
def test_reading_gives_back_what_was_written(files: dict[str, bytes]) -> None:
    entries = [cpio.file(f"d/{name}", data) for name, data in files.items() if name not in (".", "..")]
    found = [entry for entry in cpio.read(packed(entries)) if not stat.S_ISDIR(entry.mode)]
    assert sorted(found, key=lambda entry: entry.path) == sorted(entries, key=lambda entry: entry.path)


@given(st.binary(max_size=400), st.integers(0, 390))
def test_any_bytes_are_read_or_refused(noise: bytes, position: int) -> None:
    archive = packed(SMALL)
    with suppress(DataError):
        list(cpio.read(archive[:position] + noise + archive[position + len(noise) :]))


@pytest.mark.skipif(not shutil.which("busybox"), reason="no busybox here to read the archive with")
def test_busybox_unpacks_it(tmp_path: Path) -> None:
    entries = [cpio.file("a/file", b"content", 0o640), cpio.symlink("a/link", "file"), cpio.directory("a/empty", 0o711)]
    subprocess.run(["busybox", "cpio", "-i", "--quiet"], input=packed(entries), cwd=tmp_path, check=True)
    assert (tmp_path / "a/file").read_bytes() == b"content"
    assert (tmp_path / "a/file").stat().st_mode & 0o777 == 0o640
    assert os.readlink(tmp_path / "a/link") == "file"
    assert (tmp_path / "a/empty").stat().st_mode & 0o777 == 0o711
