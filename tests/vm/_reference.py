# SPDX-License-Identifier: MIT
"""fs-verity digests by the book, for comparison: short, slow, and independent of what is tested.

file_digest(b"data", "sha256", 4096, b"")
"""

from __future__ import annotations

import hashlib


def file_digest(data: bytes, algorithm: str = "sha256", block_size: int = 4096, salt: bytes = b"") -> bytes:
    digest_size = hashlib.new(algorithm).digest_size
    padded_salt = salt
    if salt:  # padded to the block size of the hash's compression function
        unit = hashlib.new(algorithm).block_size
        padded_salt = salt + bytes(-len(salt) % unit)
    level = data
    root = bytes(digest_size)
    while level:
        blocks = [level[start : start + block_size] for start in range(0, len(level), block_size)]
        hashes = [hashlib.new(algorithm, padded_salt + block.ljust(block_size, b"\0")).digest() for block in blocks]
        if len(hashes) == 1:
            root = hashes[0]
            break
        level = b"".join(hashes)
    descriptor = bytes((1, {"sha256": 1, "sha512": 2}[algorithm], block_size.bit_length() - 1, len(salt))) + bytes(4)
    descriptor += len(data).to_bytes(8, "little") + root.ljust(64, b"\0") + salt.ljust(32, b"\0") + bytes(144)
    return hashlib.new(algorithm, descriptor).digest()
