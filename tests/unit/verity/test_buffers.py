# SPDX-License-Identifier: MIT
"""Everything that holds bytes can be hashed where it lies, and is free again afterwards."""

from __future__ import annotations

import array
import ctypes
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powernode import verity
from powernode.verity import Params
from unit.verity._reference import content, expected_digest

if TYPE_CHECKING:
    from typing_extensions import Buffer

SIZE = 12_344
DATA = bytes(content(SIZE))
KINDS: dict[str, Callable[[], Buffer]] = {
    "bytes": lambda: DATA,
    "bytearray": lambda: bytearray(DATA),
    "view": lambda: memoryview(DATA),
    "read-only view of a bytearray": lambda: memoryview(bytearray(DATA)).toreadonly(),
    "slice": lambda: memoryview(b"x" + DATA + b"y")[1:-1],
    "two dimensions": lambda: memoryview(DATA).cast("B", (SIZE // 8, 8)),
    "words": lambda: memoryview(DATA).cast("Q"),
    "array": lambda: array.array("I", DATA),
    "ctypes": lambda: (ctypes.c_ubyte * SIZE).from_buffer_copy(DATA),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(door: str, kind: str) -> None:
    data = KINDS[kind]()
    wanted = expected_digest(SIZE, Params())
    hasher = verity.Hasher()
    hasher.update(data)
    assert verity.digest_buffer(data) == wanted
    assert hasher.digest() == wanted
    assert verity.merkle_tree(data)[0] == wanted


@pytest.mark.parametrize("access", [mmap.ACCESS_READ, mmap.ACCESS_WRITE, mmap.ACCESS_COPY])
def test_mappings(door: str, tmp_path: Path, access: int) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with open(tmp_path / "file", "r+b") as file, mmap.mmap(file.fileno(), 0, access=access) as mapping:
        assert verity.digest_buffer(mapping) == expected_digest(SIZE, Params())


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b""), memoryview(b"abc")[3:], array.array("Q")])
def test_no_bytes(door: str, empty: Buffer) -> None:
    hasher = verity.Hasher()
    hasher.update(empty)
    assert verity.digest_buffer(empty) == hasher.digest() == expected_digest(0, Params())
    assert verity.merkle_tree(empty) == (hasher.digest(), b"")


def test_the_buffer_is_free_afterwards(door: str) -> None:
    data = bytearray(DATA)
    hasher = verity.Hasher()
    hasher.update(data)
    verity.digest_buffer(data)
    verity.merkle_tree(data)
    data += b"!"  # BufferError while anyone still holds it
    assert hasher.digest() == expected_digest(SIZE, Params())


def test_the_hasher_keeps_no_hold_of_a_piece(door: str) -> None:
    hasher = verity.Hasher()
    piece = bytearray(100)
    for at in range(0, SIZE, 100):
        taken = min(100, SIZE - at)
        piece[:taken] = content(taken, at)
        hasher.update(memoryview(piece)[:taken])
    assert hasher.digest() == expected_digest(SIZE, Params())
