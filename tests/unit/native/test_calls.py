# SPDX-License-Identifier: MIT
"""The C interface of fs-verity as a caller from anywhere meets it: exact error numbers, and who owns which memory."""

from __future__ import annotations

import array
import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from powernode.native._signatures import SIGNATURES

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from powernode.native import Library

SHA256, SHA512 = 1, 2
HELLO = b"hello world\n"
HELLO_DIGEST = bytes.fromhex("37061ef2ac4c21bec68489b56138c5780306a4ad7fe6676236ecdf2c9027cd92")
WRONG_PARAMETERS = {
    "algorithm 0": (0, 4096, None, 0),
    "algorithm 3": (3, 4096, None, 0),
    "algorithm 2**32-1": (2**32 - 1, 4096, None, 0),
    "no block": (SHA256, 0, None, 0),
    "block of 512": (SHA256, 512, None, 0),
    "block of 3000": (SHA256, 3000, None, 0),
    "block of 128 KiB": (SHA256, 1 << 17, None, 0),
    "block of 2 GiB": (SHA512, 1 << 31, None, 0),
    "salt of 33": (SHA256, 4096, bytes(33), 33),
    "salt of 2**32-1": (SHA256, 4096, bytes(33), 2**32 - 1),
    "no salt of 1": (SHA256, 4096, None, 1),
}


def digest(library: Library, data: Buffer | None, fd: int, size: int, *, threads: int = 1) -> tuple[int, bytes]:
    value = bytearray(32)
    status = library.call("pn_verity_digest", SHA256, 4096, None, 0, data, fd, size, threads, None, value)
    return status, bytes(value)


@pytest.fixture
def hello(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(HELLO)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_every_function_can_be_called_through_the_door(library: Library) -> None:
    assert library.call("pn_abi_version") == 1
    assert {name for name in SIGNATURES if name.startswith("pn_verity_")} == {
        f"pn_verity_{name}"
        for name in (
            "blocks", "calibrate", "digest", "files", "kernel", "stream_finish", "stream_free", "stream_new",
            "stream_update", "tree_size", "use_kernel",
        )
    }  # fmt: skip


def test_a_function_that_is_not_there(library: Library) -> None:
    with pytest.raises(AttributeError):
        library.call("pn_no_such_function")


def test_a_wrong_number_of_arguments(library: Library) -> None:
    with pytest.raises((TypeError, ValueError)):
        library.call("pn_verity_tree_size", SHA256, 4096)


def test_what_holds_no_bytes_and_the_others_are_free_again(library: Library) -> None:
    held = bytearray(HELLO)
    wrong: Any = "text"
    with pytest.raises(TypeError):
        library.call("pn_verity_digest", SHA256, 4096, held, 4, wrong, -1, 4, 1, None, bytearray(32))
    held += b"!"


@pytest.mark.parametrize(
    "wrap",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: memoryview(bytearray(data)),
        lambda data: memoryview(b"ab" + data + b"c")[2:-1],
        lambda data: array.array("I", data),
        lambda data: (ctypes.c_char * len(data)).from_buffer_copy(data),
    ],
)
def test_buffers(library: Library, wrap: Callable[[bytes], Buffer]) -> None:
    assert digest(library, wrap(HELLO), -1, len(HELLO)) == (0, HELLO_DIGEST)


@pytest.mark.parametrize("access", [mmap.ACCESS_READ, mmap.ACCESS_WRITE])
def test_mappings(library: Library, tmp_path: Path, access: int) -> None:
    (tmp_path / "file").write_bytes(HELLO)
    with open(tmp_path / "file", "r+b") as file, mmap.mmap(file.fileno(), 0, access=access) as mapping:
        assert digest(library, mapping, -1, len(HELLO)) == (0, HELLO_DIGEST)


def test_buffers_are_free_after_the_call(library: Library) -> None:
    data, value = bytearray(HELLO), bytearray(32)
    assert library.call("pn_verity_digest", SHA256, 4096, None, 0, data, -1, len(data), 1, None, value) == 0
    data += b"!"
    value += b"!"
    assert value == HELLO_DIGEST + b"!"


def test_the_result_is_written_where_it_should_be_and_nowhere_else(library: Library) -> None:
    room = bytearray(b"\xaa" * 96)
    status = library.call(
        "pn_verity_digest", SHA256, 4096, None, 0, HELLO, -1, len(HELLO), 1, None, memoryview(room)[32:64]
    )
    assert status == 0
    assert room == b"\xaa" * 32 + HELLO_DIGEST + b"\xaa" * 32


def test_a_tree_is_written_to_its_last_byte_and_no_further(library: Library) -> None:
    size = 4096 * 129
    tree_size = library.call("pn_verity_tree_size", SHA256, 4096, size)
    assert tree_size == 3 * 4096
    room = bytearray(b"\xaa" * (tree_size + 8192))
    tree = memoryview(room)[4096 : 4096 + tree_size]
    for threads in (1, 3):
        tree[:] = b"\xbb" * tree_size
        data = bytes(size)
        status = library.call("pn_verity_digest", SHA256, 4096, None, 0, data, -1, size, threads, tree, bytearray(32))
        assert status == 0
        assert room[:4096] == room[-4096:] == b"\xaa" * 4096
        assert b"\xbb" * 32 not in room


@pytest.mark.parametrize("wrong", WRONG_PARAMETERS)
def test_wrong_parameters(library: Library, tmp_path: Path, wrong: str) -> None:
    algorithm, block_size, salt, salt_size = WRONG_PARAMETERS[wrong]
    first = (algorithm, block_size, salt, salt_size)
    value, errors, handle = bytearray(64), bytearray(4), bytearray(8)
    path = os.fsencode(tmp_path) + b"\0"
    assert library.call("pn_verity_digest", *first, HELLO, -1, len(HELLO), 1, None, value) == -errno.EINVAL
    assert library.call("pn_verity_files", *first, path, 1, 1, value, errors) == -errno.EINVAL
    assert library.call("pn_verity_stream_new", *first, handle) == -errno.EINVAL
    if "salt" not in wrong:
        assert library.call("pn_verity_tree_size", algorithm, block_size, 5000) == -errno.EINVAL
        assert library.call("pn_verity_blocks", algorithm, block_size, HELLO, 0, value) == -errno.EINVAL
    assert value == bytes(64)
    assert handle == bytes(8)


def test_files_by_descriptor(library: Library, tmp_path: Path, hello: int) -> None:
    assert digest(library, None, hello, len(HELLO)) == (0, HELLO_DIGEST)
    assert digest(library, None, -1, len(HELLO))[0] == -errno.EBADF
    assert digest(library, None, hello, 2**63)[0] == -errno.EFBIG
    write_only = os.open(tmp_path / "file", os.O_WRONLY)
    directory = os.open(tmp_path, os.O_RDONLY)
    ends = os.pipe()
    try:
        assert digest(library, None, write_only, 1)[0] == -errno.EBADF
        assert digest(library, None, directory, 1)[0] == -errno.EISDIR
        assert digest(library, None, ends[0], 1)[0] == -errno.ESPIPE
    finally:
        for fd in (write_only, directory, *ends):
            os.close(fd)


@pytest.mark.parametrize("size", [len(HELLO) + 1, 4096, 4097, 3 << 20, 80 << 20, 2**63 - 1])
@pytest.mark.parametrize("threads", [0, 1, 7])
def test_a_file_shorter_than_it_was_said(library: Library, hello: int, size: int, threads: int) -> None:
    assert digest(library, None, hello, size, threads=threads)[0] == -errno.ESTALE


def test_a_file_that_is_longer_meanwhile_counts_as_long_as_it_was(library: Library, tmp_path: Path, hello: int) -> None:
    with open(tmp_path / "file", "ab") as file:
        file.write(b"more")
    assert digest(library, None, hello, len(HELLO)) == (0, HELLO_DIGEST)


@pytest.mark.parametrize(
    ("algorithm", "block_size", "size", "tree_size"),
    [
        (SHA256, 4096, 0, 0),
        (SHA256, 4096, 1, 0),
        (SHA256, 4096, 4096, 0),
        (SHA256, 4096, 4097, 4096),
        (SHA256, 4096, 128 * 4096, 4096),
        (SHA256, 4096, 128 * 4096 + 1, 3 * 4096),
        (SHA256, 4096, 128**2 * 4096, 129 * 4096),
        (SHA256, 4096, 128**2 * 4096 + 1, (129 + 2 + 1) * 4096),
        (SHA512, 1024, 16**3 * 1024, (256 + 16 + 1) * 1024),
        (SHA512, 1024, 2**63 - 1, sum(2 ** (53 - 4 * level) for level in range(1, 14)) * 1024 + 1024),
        (SHA256, 4096, 2**63, -errno.EFBIG),
        (SHA256, 4096, 2**64 - 1, -errno.EFBIG),
    ],
)
def test_tree_size(library: Library, algorithm: int, block_size: int, size: int, tree_size: int) -> None:
    assert library.call("pn_verity_tree_size", algorithm, block_size, size) == tree_size


class Stream:
    def __init__(self, library: Library) -> None:
        self.library = library
        handle = bytearray(8)
        assert library.call("pn_verity_stream_new", SHA256, 4096, None, 0, handle) == 0
        self.handle: int = struct.unpack("Q", handle)[0]

    def update(self, data: bytes) -> int:
        return self.library.call("pn_verity_stream_update", self.handle, data, len(data))

    def finish(self) -> tuple[int, bytes]:
        value = bytearray(32)
        return self.library.call("pn_verity_stream_finish", self.handle, value), bytes(value)


@pytest.fixture
def stream(library: Library) -> Iterator[Stream]:
    made = Stream(library)
    yield made
    assert library.call("pn_verity_stream_free", made.handle) == 0


def test_a_stream_is_finished_once(stream: Stream) -> None:
    assert stream.update(HELLO[:5]) == 0
    assert stream.update(HELLO[5:]) == 0
    assert stream.finish() == (0, HELLO_DIGEST)
    assert stream.update(b"more") == -errno.EBUSY
    assert stream.finish() == (-errno.EBUSY, bytes(32))


def test_a_stream_that_is_never_finished_is_freed(stream: Stream) -> None:
    assert stream.update(bytes(5 << 20)) == 0


def test_freeing_nothing(library: Library) -> None:
    assert library.call("pn_verity_stream_free", None) == 0
    assert library.call("pn_buffer_free", bytearray(24)) == 0


def test_many_files_answer_one_by_one(library: Library, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(HELLO)
    os.mkfifo(tmp_path / "fifo")
    names = ["file", "none", "", "fifo", "file"]
    paths = b"".join(os.fsencode(tmp_path / name) + b"\0" for name in names)
    values, errors = bytearray(b"\xaa" * (32 * 5 + 8)), bytearray(b"\xaa" * (4 * 5 + 8))
    assert library.call("pn_verity_files", SHA256, 4096, None, 0, paths, 5, 1, values, errors) == 0
    assert struct.unpack("5i", errors[:20]) == (0, -errno.ENOENT, -errno.EISDIR, -errno.EINVAL, 0)
    assert values[:32] == values[128:160] == HELLO_DIGEST
    assert values[160:] == errors[20:] == b"\xaa" * 8


def test_no_files(library: Library) -> None:
    assert library.call("pn_verity_files", SHA256, 4096, None, 0, b"\0", 0, 0, bytearray(1), bytearray(1)) == 0


def test_blocks_are_plain_hashes(library: Library) -> None:
    import hashlib

    data, value = bytes(range(256)) * 80, bytearray(64 * 5)
    assert library.call("pn_verity_blocks", SHA512, 4096, data, 5, value) == 0
    assert value == b"".join(hashlib.sha512(data[at : at + 4096]).digest() for at in range(0, len(data), 4096))


def test_kernels_by_number_and_name(library: Library) -> None:
    name, algorithm = bytearray(b"\xaa" * 32), bytearray(4)
    assert library.call("pn_verity_kernel", 0, name, algorithm) in (0, 1, 2)
    assert name.rstrip(b"\0").startswith(b"sha")
    assert b"\xaa" not in name
    for index in (10_000, 2**32 - 1):
        assert library.call("pn_verity_kernel", index, name, algorithm) == -errno.ENOENT
    assert library.call("pn_verity_use_kernel", b"sha0-portable\0") == -errno.ENOENT
    assert library.call("pn_verity_use_kernel", b"sha256-portable\0") == 0
    assert library.call("pn_verity_use_kernel", None) == 0


def test_kernels_this_cpu_lacks(library: Library) -> None:
    name, algorithm = bytearray(32), bytearray(4)
    states: dict[bytes, int] = {}
    while (state := library.call("pn_verity_kernel", len(states), name, algorithm)) >= 0:
        states[bytes(name).rstrip(b"\0")] = state
    lacking = [name for name, state in states.items() if state == 0]
    for each in lacking:
        assert library.call("pn_verity_use_kernel", each + b"\0") == -errno.ENOTSUP
    if not lacking:
        pytest.skip("this CPU can run every kernel")


@pytest.mark.parametrize(("algorithm", "status"), [(0, -errno.EINVAL), (1, 0), (2, 0), (3, -errno.EINVAL)])
def test_calibrate(library: Library, algorithm: int, status: int) -> None:
    assert library.call("pn_verity_calibrate", algorithm) == status
