# SPDX-License-Identifier: MIT
"""A digest is a type of its own: algorithm and bytes together, never a bare string.

A plain class and not a dataclass: this module is on the start-up path of the shortest commands.

    Digest("sha256", value).object_path      # b"ab/cdef…", where a composefs store keeps the file
"""

from __future__ import annotations

from powernode.base.errors import DataError

SIZES = {"sha256": 32, "sha512": 64}


class Digest:
    """An fs-verity digest. Immutable by convention, hashable, compares by algorithm and value."""

    __slots__ = ("algorithm", "value")

    def __init__(self, algorithm: str, value: bytes) -> None:
        if SIZES.get(algorithm) != len(value):
            raise DataError(
                "digest.size",
                f"{len(value)} bytes are no {algorithm} digest",
                expected=", ".join(f"{size} bytes of {name}" for name, size in SIZES.items()),
            )
        self.algorithm = algorithm
        self.value = value

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Reads `sha256:HEX`; bare hex is SHA-256 or SHA-512 by its length."""
        algorithm, colon, digits = text.rpartition(":")
        if not colon:
            algorithm = "sha512" if len(digits) == 128 else "sha256"
        try:
            if not digits.isalnum():  # bytes.fromhex would overlook white space
                raise ValueError
            return cls(algorithm, bytes.fromhex(digits))
        except ValueError:
            raise DataError("digest.text", "not a digest", expected="sha256:HEX", found=repr(text[:150])) from None

    @property
    def hex(self) -> str:
        return self.value.hex()

    @property
    def object_path(self) -> bytes:
        digits = self.value.hex().encode()
        return digits[:2] + b"/" + digits[2:]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value.hex()}"

    def __repr__(self) -> str:
        return f"Digest({self.algorithm!r}, bytes.fromhex({self.value.hex()!r}))"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self.algorithm, self.value) == (other.algorithm, other.value)

    def __hash__(self) -> int:
        return hash((self.algorithm, self.value))
