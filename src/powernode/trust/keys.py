# SPDX-License-Identifier: MIT
"""The public keys somebody decided to believe, read from PEM.

Invariants: a file is read whole or refused: a damaged or weak key never just shortens the list; what is between the
keys may only be comments (`#`) and empty lines, so a damaged BEGIN line is seen; no keys at all is a valid list.

Out of scope: certificates; private keys (they have no business on a node and are refused by name).

    keys = load_public_keys(pem)
    keys[0].key_id, keys[0].kind
"""

from __future__ import annotations

import binascii

from powernode.base.errors import DataError
from powernode.base.values import Value
from powernode.trust.signature import KeyKind, examine_key

__all__ = ["MAX_KEYS", "KeyKind", "PublicKey", "load_public_keys"]

MAX_KEYS = 32
MAX_BYTES = 64 << 10

_LABEL = "PUBLIC KEY"
_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"


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
    if len(pem) > MAX_BYTES:
        raise _refusal("size", "the file of public keys is too long", expected=f"at most {MAX_BYTES} bytes")
    found: dict[bytes, PublicKey] = {}
    for spki in _blocks(pem):
        kind, bits = examine_key(spki)
        found[spki] = PublicKey(kind=kind, bits=bits, spki=spki)
        if len(found) > MAX_KEYS:
            raise _refusal("count", "too many public keys", expected=f"at most {MAX_KEYS}")
    return list(found.values())


def _blocks(pem: bytes) -> list[bytes]:
    """The DER of every PUBLIC KEY block."""
    try:
        lines = pem.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise _refusal("pem", f"byte {error.start} of the public keys is not ASCII") from None
    blocks: list[bytes] = []
    body: list[str] | None = None
    for number, line in enumerate((line.strip() for line in lines), 1):
        if body is None:
            if line == f"{_BEGIN}{_LABEL}{_DASHES}":
                body = []
            elif line.startswith(_BEGIN):
                found = line.removeprefix(_BEGIN).removesuffix(_DASHES)
                raise _refusal("label", f"line {number} begins something else", expected=_LABEL, found=found[:60])
            elif line and not line.startswith("#"):
                raise _refusal("pem", f"line {number} belongs to no key", expected=f"{_BEGIN}{_LABEL}{_DASHES}")
        elif line == f"{_END}{_LABEL}{_DASHES}":
            blocks.append(_decoded(body, number))
            body = None
        else:
            body.append(line)
    if body is not None:
        raise _refusal("pem", "the last public key has no end", expected=f"{_END}{_LABEL}{_DASHES}")
    return blocks


def _decoded(lines: list[str], number: int) -> bytes:
    try:
        return binascii.a2b_base64("".join(lines), strict_mode=True)
    except ValueError as error:
        raise _refusal("pem", f"the key that ends in line {number} is not base64", found=str(error)) from None


def _refusal(cause: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"trust.keys.{cause}", message, expected=expected, found=found)
