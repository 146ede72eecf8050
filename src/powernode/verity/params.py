# SPDX-License-Identifier: MIT
"""The parameters of an fs-verity digest, checked once."""

from __future__ import annotations

from powernode.base.digest import SIZES
from powernode.base.errors import OperatorError

ALGORITHM_NUMBERS = {"sha256": 1, "sha512": 2}
"""The kernel's numbers (FS_VERITY_HASH_ALG_*)."""
BLOCK_SIZES = tuple(1 << shift for shift in range(10, 17))
SALT_MAX_BYTES = 32
DESCRIPTOR_BYTES = 256


THREADS_MAX = 64
"""What the library takes at most; larger numbers mean the same."""


def thread_count(threads: int) -> int:
    """The number for the library, which takes 0 for all CPUs."""
    if threads < 0:
        raise OperatorError("verity.threads", "no such number of threads", expected="0 or more", found=str(threads))
    return min(threads, THREADS_MAX)


class Params:
    """Hash algorithm, block size and salt. The defaults are what the kernel, fsverity and composefs use."""

    __slots__ = ("algorithm", "block_size", "salt")

    def __init__(self, algorithm: str = "sha256", block_size: int = 4096, salt: bytes = b"") -> None:
        if algorithm not in ALGORITHM_NUMBERS:
            raise OperatorError(
                "verity.algorithm", "unknown hash algorithm", expected="sha256 or sha512", found=repr(algorithm)
            )
        if block_size not in BLOCK_SIZES:
            raise OperatorError(
                "verity.block-size",
                "this block size cannot be used",
                expected=f"a power of two from {BLOCK_SIZES[0]} to {BLOCK_SIZES[-1]}",
                found=str(block_size),
            )
        if len(salt) > SALT_MAX_BYTES:
            raise OperatorError(
                "verity.salt", "the salt is too long", expected=f"at most {SALT_MAX_BYTES} bytes", found=str(len(salt))
            )
        self.algorithm = algorithm
        self.block_size = block_size
        self.salt = bytes(salt)

    @property
    def digest_size(self) -> int:
        return SIZES[self.algorithm]

    @property
    def hashes_per_block(self) -> int:
        return self.block_size // self.digest_size

    def descriptor(self, size: int, root: bytes) -> bytes:
        """struct fsverity_descriptor: the 256 bytes whose hash is the digest of the file."""
        head = bytes((1, ALGORITHM_NUMBERS[self.algorithm], self.block_size.bit_length() - 1, len(self.salt)))
        body = head + bytes(4) + size.to_bytes(8, "little") + root.ljust(64, b"\0") + self.salt.ljust(32, b"\0")
        return body.ljust(DESCRIPTOR_BYTES, b"\0")
