# SPDX-License-Identifier: MIT
"""Digests as registries write them: `sha256:` and the lower-case hexadecimal digits of the content's SHA-256.

They name content as it travels; the fs-verity digests that kernels enforce are `powernode.base.digest`. In documents,
on the wire and between our packages they are strings of exactly this form, checked where they come in.

    check_digest(text, what="the layer")           # DataError("oci.digest", …)
    digest_of(b"{}"); hasher_for(digest); hex_of(digest)
"""

from __future__ import annotations

from hashlib import sha256, sha512

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Hasher(Protocol):
        def update(self, data: bytes, /) -> None: ...
        def hexdigest(self) -> str: ...


__all__ = ["ALGORITHMS", "check_content", "check_digest", "digest_of", "hasher_for", "hex_of", "is_digest"]

ALGORITHMS = {"sha256": (sha256, 64), "sha512": (sha512, 128)}
"""What is accepted from others; ours are always SHA-256."""

_LOWER_HEX = frozenset("0123456789abcdef")


def is_digest(text: str) -> bool:
    algorithm, _, digits = text.partition(":")
    known = ALGORITHMS.get(algorithm)
    return known is not None and len(digits) == known[1] and _LOWER_HEX.issuperset(digits)


def check_digest(text: str, *, what: str, code: str = "oci.digest") -> str:
    """The digest itself, or a refusal that says where it was."""
    if not is_digest(text):
        raise DataError(code, f"{what}: not a digest", expected="sha256:HEX (lower case)", found=repr(text[:150]))
    return text


def check_content(hasher: Hasher, digest: str) -> None:
    """Refuses what the hasher was given when it has another digest than this."""
    found = hasher.hexdigest()
    if found != hex_of(digest):
        algorithm = digest.partition(":")[0]
        message = "the content is not what its digest says"
        raise DataError("oci.blob.digest", message, expected=digest, found=f"{algorithm}:{found}")


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def hasher_for(digest: str) -> Hasher:
    """For the content that a checked digest names; see `check_content`."""
    return ALGORITHMS[digest.partition(":")[0]][0]()


def hex_of(digest: str) -> str:
    return digest.partition(":")[2]
