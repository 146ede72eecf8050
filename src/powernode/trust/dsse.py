# SPDX-License-Identifier: MIT
"""The payload of an envelope that one of the pinned keys has signed.

Invariants: `verify` returns the payload only after the signature over its type and bytes was checked with one of
`keys`; a key id in the envelope only decides which key is tried first. Ed25519, ECDSA with the curve's own SHA-2, RSA
with PKCS #1 v1.5 and SHA-256.

Out of scope: what the payload says (`bootset`); how many signers are needed (one).

    payload = verify(envelope, keys, payload_type)
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.trust.keys import KeyKind, PublicKey
from powernode.trust.signature import Algorithm, check_signature
from powernode.wire import dsse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_BYTES", "verify"]

MAX_BYTES = 1 << 20

_ALGORITHMS = {
    KeyKind.ED25519: Algorithm.ED25519,
    KeyKind.ECDSA_P256: Algorithm.ECDSA_P256_SHA256,
    KeyKind.ECDSA_P384: Algorithm.ECDSA_P384_SHA384,
    KeyKind.RSA: Algorithm.RSA_PKCS1_SHA256,
}


def verify(envelope: bytes, keys: Sequence[PublicKey], payload_type: str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The payload; codes trust.dsse.malformed, .payload-type, .unsigned, .no-keys and .signature."""
    try:
        read = dsse.parse(envelope, max_bytes=max_bytes)
    except DataError as error:
        raise DataError("trust.dsse.malformed", f"this is no signed envelope: {error}") from error
    if read.payload_type != payload_type:
        raise DataError(
            "trust.dsse.payload-type",
            "the envelope holds something else",
            expected=payload_type,
            found=repr(read.payload_type),
        )
    if not read.signatures:
        raise DataError("trust.dsse.unsigned", "nobody has signed this")
    if not keys:
        raise DataError(
            "trust.dsse.no-keys", "there is no key to believe", hint="build the image with the fleet's public key"
        )
    message = dsse.pre_authentication(read.payload_type, read.payload)
    if not any(_is_by(key, message, signature) for signature in read.signatures for key in _in_order(keys, signature)):
        raise DataError(
            "trust.dsse.signature",
            "no signature is by a key we believe",
            expected=f"a signature by {' or '.join(key.key_id[:16] for key in keys)}",
            found=f"signatures that call themselves {', '.join(repr(s.key_id[:16]) for s in read.signatures)}",
        )
    return read.payload


def _in_order(keys: Sequence[PublicKey], signature: dsse.Signature) -> list[PublicKey]:
    """The key that the signature names first, then the others: the name may be wrong or missing."""
    if len(keys) == 1:
        return list(keys)
    return sorted(keys, key=lambda key: key.key_id != signature.key_id)


def _is_by(key: PublicKey, message: bytes, signature: dsse.Signature) -> bool:
    try:
        check_signature(_ALGORITHMS[key.kind], key.spki, message, signature.value)
    except DataError as error:
        if error.code != "trust.signature":
            raise
        return False
    return True
