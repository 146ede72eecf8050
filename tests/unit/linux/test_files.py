# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.linux import files

SIZES = [0, 1, 4095, 4096, 4097, 3 * (1 << 20) + 5]


def copy_of(tmp_path: Path, data: bytes) -> bytes:
    (tmp_path / "source").write_bytes(data)
    with open(tmp_path / "source", "rb") as source, open(tmp_path / "copy", "xb") as copy:
        assert files.copy(source.fileno(), copy.fileno()) == len(data)
    return (tmp_path / "copy").read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_copy(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    assert copy_of(tmp_path, data) == data


@pytest.mark.parametrize("size", SIZES)
def test_copy_by_reading_and_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def elsewhere(*arguments: int) -> int:
        raise OSError(errno.EXDEV, "")

    monkeypatch.setattr(os, "copy_file_range", elsewhere)
    data = os.urandom(size)
    assert copy_of(tmp_path, data) == data


def test_copy_starts_at_the_beginning_whatever_the_offsets(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"0123456789")
    with open(tmp_path / "source", "rb") as source, open(tmp_path / "copy", "xb") as copy:
        os.lseek(source.fileno(), 5, os.SEEK_SET)
        files.copy(source.fileno(), copy.fileno())
    assert (tmp_path / "copy").read_bytes() == b"0123456789"


def test_copy_of_a_file_without_a_size(tmp_path: Path) -> None:
    with open("/proc/self/mountinfo", "rb") as source, open(tmp_path / "copy", "xb") as copy:
        assert files.copy(source.fileno(), copy.fileno()) > 0
    assert b" / " in (tmp_path / "copy").read_bytes()


def test_copy_does_not_hide_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: int) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="28"):
        copy_of(tmp_path, b"x")


def test_syncfs(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    files.syncfs(fd)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.syncfs(fd)


def test_names_change_places(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "below").mkdir(parents=True)
    other.write_text("a file")
    files.exchange(str(one), str(other))
    assert (one.read_text(), other.joinpath("below").is_dir()) == ("a file", True)
    with pytest.raises(FileNotFoundError):
        files.exchange(str(one), str(tmp_path / "nothing"))


def test_lock_is_exclusive_and_ends_with_its_process(tmp_path: Path) -> None:
    code = "import os, sys; from powernode.linux import files; fd = os.open(sys.argv[1], os.O_RDONLY)\n"
    code += "print(files.try_lock(fd), flush=True); sys.stdin.read()"
    fd = os.open(tmp_path, os.O_RDONLY)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert not files.try_lock(fd)
        other.communicate()
    assert files.try_lock(fd)
    os.close(fd)
