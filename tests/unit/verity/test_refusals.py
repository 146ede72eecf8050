# SPDX-License-Identifier: MIT
"""What has no digest, and how it is said, through every door."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from powernode import verity
from powernode.base.errors import MachineError, OperatorError
from powernode.verity import Params

# The kernel says that this file has a page, and gives less: for a reader, a file that becomes shorter meanwhile.
SHRINKING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture
def not_waiting() -> Iterator[None]:
    """Fails what blocks instead of hanging the suite."""

    def give_up(*_: object) -> None:
        raise TimeoutError("blocked")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 20)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def make_directory(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/null")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket may not be long
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def make_nothing(path: Path) -> None:
    pass


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_link_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "many"),
    [(make_directory, errno.EISDIR), (make_fifo, errno.EINVAL), (make_link_to_device, errno.EINVAL)],
)
@pytest.mark.usefixtures("not_waiting")
def test_what_opens_but_is_no_file(door: str, tmp_path: Path, make: Callable[[Path], None], many: int) -> None:
    path, good = tmp_path / "thing", tmp_path / "good"
    make(path)
    good.write_bytes(b"hello world\n")
    with pytest.raises(OperatorError) as refusal:
        verity.digest_file(path)
    assert refusal.value.code == "verity.not-a-file"
    assert str(path) in refusal.value.message
    wrong, right = verity.digest_files([path, good])
    assert isinstance(wrong, OSError)
    assert (wrong.errno, wrong.filename) == (many, str(path))
    assert right == verity.digest_file(good)


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (make_nothing, errno.ENOENT),
        (make_dangling_link, errno.ENOENT),
        (make_link_loop, errno.ELOOP),
        (make_socket, errno.ENXIO),
    ],
)
def test_what_does_not_open(door: str, tmp_path: Path, make: Callable[[Path], None], number: int) -> None:
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(OSError, match=r"thing") as refusal:
        verity.digest_file(path)
    assert (refusal.value.errno, refusal.value.filename) == (number, str(path))
    for threads in (1, 4):
        results = verity.digest_files([path] * 40, threads=threads)
        assert {(error.errno, error.filename) for error in results if isinstance(error, OSError)} == {
            (number, str(path))
        }
        assert len(results) == 40


@pytest.mark.usefixtures("not_waiting")
def test_descriptors_that_cannot_be_read(door: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    for call in (verity.digest_fd, verity.merkle_tree):
        with pytest.raises(OSError, match="Bad file descriptor") as refusal:
            call(-1)
        assert refusal.value.errno == errno.EBADF
        fd = os.open(tmp_path / "file", os.O_WRONLY)
        try:
            with pytest.raises(OSError, match=f"file descriptor {fd}") as refusal:
                call(fd)
        finally:
            os.close(fd)
        assert refusal.value.errno == errno.EBADF
        ends = os.pipe()
        try:
            with pytest.raises(OperatorError) as wrong:
                call(ends[0])
        finally:
            for end in ends:
                os.close(end)
        assert wrong.value.code == "verity.not-a-file"


def test_a_file_that_becomes_shorter(door: str, tmp_path: Path) -> None:
    if not SHRINKING.exists() or SHRINKING.stat().st_size <= len(SHRINKING.read_bytes()):
        pytest.skip(f"{SHRINKING} is not shorter than it says")
    with pytest.raises(MachineError) as refusal:
        verity.digest_file(SHRINKING)
    assert refusal.value.code == "verity.file-changed"
    assert str(SHRINKING) in refusal.value.message
    with open(SHRINKING, "rb") as file:
        for call in (verity.digest_fd, verity.merkle_tree):
            with pytest.raises(MachineError) as refusal:
                call(file.fileno())
            assert refusal.value.code == "verity.file-changed"
    (tmp_path / "good").write_bytes(b"hello world\n")
    good = tmp_path / "good"
    first, wrong, last = verity.digest_files([good, SHRINKING, good])
    assert isinstance(wrong, OSError)
    assert (wrong.errno, wrong.filename) == (errno.ESTALE, str(SHRINKING))
    assert first == last == verity.digest_file(good)


@pytest.mark.parametrize("size", [1, 4097, 300_000, 5 << 20])
@pytest.mark.parametrize("want_tree", [False, True])
def test_a_file_cut_after_its_size_was_asked(door: str, tmp_path: Path, size: int, want_tree: bool) -> None:
    """Between the two calls a test cannot get, so this is the second one with the answer the first would have given."""
    from powernode.verity import _implementation

    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    with open(path, "r+b") as file:
        file.truncate(size - 1)
        for threads in (1, 4):
            with pytest.raises(OSError) as refusal:  # noqa: PT011 -- the number is the contract
                _implementation().digest(Params(), None, file.fileno(), size, threads, want_tree)
            assert refusal.value.errno == errno.ESTALE


@pytest.mark.parametrize("path", ["", b"", "a\0b", b"\0", "/\0"])
def test_paths_that_cannot_be(door: str, path: str | bytes) -> None:
    for call in (lambda: verity.digest_file(path), lambda: verity.digest_files(["/dev/null", path])):
        with pytest.raises(OperatorError) as refusal:
            call()
        assert refusal.value.code == "verity.path"


def test_fewer_threads_than_none(door: str) -> None:
    for call in (
        lambda: verity.digest_buffer(b"", threads=-1),
        lambda: verity.merkle_tree(b"", threads=-1),
        lambda: verity.digest_files([], threads=-1),
    ):
        with pytest.raises(OperatorError) as refusal:
            call()
        assert refusal.value.code == "verity.threads"
        assert refusal.value.found == "-1"


@pytest.mark.parametrize("data", [memoryview(b"abcdef")[::2], memoryview(b"abc")[::-1], "text", 1.5, None])
def test_what_is_not_one_run_of_bytes(door: str, data: Any) -> None:
    hasher = verity.Hasher()
    for call in (verity.digest_buffer, hasher.update):
        with pytest.raises((TypeError, BufferError)):
            call(data)
    assert hasher.digest() == verity.digest_buffer(b"")


@pytest.mark.parametrize("name", ["", "sha1", "SHA256", "sha384", "md5"])
def test_algorithm(name: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        Params(name)
    assert (refusal.value.code, refusal.value.found) == ("verity.algorithm", repr(name))


@pytest.mark.parametrize("size", [0, 1, -4096, 512, 1023, 1025, 3000, 65535, 131072])
def test_block_size(size: int) -> None:
    with pytest.raises(OperatorError) as refusal:
        Params(block_size=size)
    assert (refusal.value.code, refusal.value.found) == ("verity.block-size", str(size))


def test_salt() -> None:
    assert Params(salt=bytes(32)).salt == bytes(32)
    with pytest.raises(OperatorError) as refusal:
        Params(salt=bytes(33))
    assert (refusal.value.code, refusal.value.found) == ("verity.salt", "33")
