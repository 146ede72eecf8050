# SPDX-License-Identifier: MIT
"""fs-verity once more, as short as the definition: what every implementation of ours is compared with."""

from __future__ import annotations

import functools
import hashlib
import random
import struct
from typing import NamedTuple

from powernode.verity import Digest, Params

LARGEST = 64 << 20


class Expected(NamedTuple):
    digest: bytes
    tree: bytes
    descriptor: bytes


@functools.cache
def _endless() -> bytes:
    return random.Random(20).randbytes(LARGEST + (1 << 20))


def content(size: int, start: int = 0) -> memoryview:
    """Bytes without a pattern, the same ones each time."""
    return memoryview(_endless())[start : start + size]


def expected(data: bytes | memoryview, params: Params) -> Expected:
    size = params.block_size
    padded_salt = params.salt + bytes(-len(params.salt) % hashlib.new(params.algorithm).block_size)

    def blocks(level: bytes | memoryview) -> list[bytes | memoryview]:
        return [level[at : at + size] for at in range(0, len(level), size)]

    def hashed(block: bytes | memoryview) -> bytes:
        state = hashlib.new(params.algorithm, padded_salt)
        state.update(block)
        state.update(bytes(size - len(block)))
        return state.digest()

    digests, tree = [hashed(block) for block in blocks(data)], b""
    while len(digests) > 1:
        level = b"".join(digests)
        level += bytes(-len(level) % size)
        tree = level + tree
        digests = [hashed(block) for block in blocks(level)]
    number, log2 = {"sha256": 1, "sha512": 2}[params.algorithm], size.bit_length() - 1
    head = struct.pack("<BBBBIQ", 1, number, log2, len(params.salt), 0, len(data))
    descriptor = head + struct.pack("64s32s144s", b"".join(digests), params.salt, b"")
    return Expected(hashlib.new(params.algorithm, descriptor).digest(), tree, descriptor)


def expected_digest(size: int, params: Params, start: int = 0) -> Digest:
    """Of `content(size, start)`."""
    return Digest(params.algorithm, _digest(size, start, params.algorithm, params.block_size, params.salt))


@functools.cache
def _digest(size: int, start: int, algorithm: str, block_size: int, salt: bytes) -> bytes:
    return expected(content(size, start), Params(algorithm, block_size, salt)).digest


def sizes_at_limits(params: Params, most: int) -> list[int]:
    """Where the shape of the tree changes: whole blocks, whole hash blocks, one level more; one byte each side."""
    per_block = params.block_size // params.digest_size
    found = {0, 1}
    for blocks in (1, 2, 65 * per_block**2, *(per_block**level + more for level in (1, 2, 3, 4) for more in (0, 1))):
        found |= {blocks * params.block_size + more for more in (-1, 0, 1)}
    return sorted(size for size in found if size <= most)
