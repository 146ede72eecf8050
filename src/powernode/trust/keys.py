# SPDX-License-Identifier: MIT
"""The public keys somebody decided to believe, read from PEM.

Invariants: a file is read whole or refused: a damaged or weak key never just shortens the list; what is between the
keys may only be comments (`#`) and empty lines, so a damaged BEGIN line is seen; no keys at all is a valid list.

Out of scope: certificates; private keys (they have no business on a node and are refused by name).

    keys = load_public_keys(pem)
    keys[0].key_id, keys[0].kind
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.base.values import Value
from powernode.trust.pem import blocks
from powernode.trust.signature import KeyKind, examine_key

__all__ = ["MAX_KEYS", "KeyKind", "PublicKey", "load_public_keys"]

MAX_KEYS = 32
MAX_BYTES = 64 << 10


class PublicKey(Value):
    """A key that libcrypto has read; `spki` is its DER SubjectPublicKeyInfo."""

    __slots__ = ("bits", "kind", "spki")

    def __init__(self, *, kind: KeyKind, bits: int, spki: bytes) -> None:
        self.kind = kind
        self.bits = bits
        self.spki = spki

    @property
    def key_id(self) -> str:
        """SHA-256 of the SPKI in hexadecimal: the name DSSE envelopes use as a hint."""
        from hashlib import sha256  # opens libcrypto once more: only for those who ask

        return sha256(self.spki).hexdigest()


def load_public_keys(pem: bytes) -> list[PublicKey]:
    """Every key of a PEM file, in its order, each once."""
    found: dict[bytes, PublicKey] = {}
    for spki in blocks(pem, "PUBLIC KEY", code="trust.keys", most=MAX_BYTES):
        kind, bits = examine_key(spki)
        found[spki] = PublicKey(kind=kind, bits=bits, spki=spki)
        if len(found) > MAX_KEYS:
            raise _refusal("count", "too many public keys", expected=f"at most {MAX_KEYS}")
    return list(found.values())


def _refusal(cause: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"trust.keys.{cause}", message, expected=expected, found=found)
