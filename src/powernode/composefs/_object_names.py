# SPDX-License-Identifier: MIT
"""How objects are named: the fs-verity SHA-256 digest in hexadecimal, `/` behind the first two digits.

Invariants: digests are 32 bytes; anything else is refused, never passed on as a path.

    object_path(digest)      # "ab/cdef…", the payload of a composefs image
    digest_of(b"ab/cdef…")   # the 32 bytes again
"""

from __future__ import annotations

from powernode.base.errors import OperatorError

DIGEST_SIZE = 32
FAN_OUT = tuple(f"{number:02x}" for number in range(256))
_LOWER_HEX = frozenset("0123456789abcdef")


def object_path(digest: bytes) -> str:
    """The object's path inside the store."""
    if len(digest) != DIGEST_SIZE:
        raise OperatorError(
            "composefs.store.digest",
            "not the digest of an object",
            expected=f"{DIGEST_SIZE} bytes of fs-verity SHA-256",
            found=f"{len(digest)} bytes",
        )
    name = digest.hex()
    return f"{name[:2]}/{name[2:]}"


def parse_name(folder: str, name: str) -> bytes | None:
    """The digest a directory entry stands for, or None if it is no object's name."""
    text = folder + name
    if len(text) != 2 * DIGEST_SIZE or len(folder) != 2 or not _LOWER_HEX.issuperset(text):
        return None
    return bytes.fromhex(text)


def digest_of(reference: bytes) -> bytes:
    """The digest behind a digest or a payload path (`ab/cdef…`, with or without a leading `/`)."""
    if len(reference) == DIGEST_SIZE:
        return reference
    folder, _, name = reference.removeprefix(b"/").decode("latin-1").partition("/")
    digest = parse_name(folder, name)
    if digest is None:
        raise OperatorError(
            "composefs.store.reference",
            "this names no object",
            expected="a 32-byte digest or a path such as ab/cdef…",
            found=repr(reference),
        )
    return digest
