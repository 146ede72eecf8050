# SPDX-License-Identifier: MIT
"""Signing keys as PEM: PKCS #8 for the secret half, SubjectPublicKeyInfo for the public one.

Invariants: only kinds that `trust` believes; what `load` returns is one of them.

Out of scope: where keys are kept and who may read the file; passphrases.

    private_pem, public_pem = generate("ed25519")
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from powernode.base.errors import DataError, OperatorError

__all__ = ["KINDS", "PrivateKey", "generate", "key_id", "load"]

PrivateKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KINDS = ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa")
"""What `generate` makes; RSA with 3072 bits, the size that NIST SP 800-57 puts beside P-256."""

_RSA_BITS = 3072
_RSA_BITS_TAKEN = range(2048, 8193)


def generate(kind: str) -> tuple[bytes, bytes]:
    """A new key of one of `KINDS`: its secret half (unencrypted) and its public half."""
    key: PrivateKey
    match kind:
        case "ed25519":
            key = ed25519.Ed25519PrivateKey.generate()
        case "ecdsa-p256":
            key = ec.generate_private_key(ec.SECP256R1())
        case "ecdsa-p384":
            key = ec.generate_private_key(ec.SECP384R1())
        case "rsa":
            key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        case _:
            raise OperatorError("signing.key-kind", "no such kind of key", expected=", ".join(KINDS), found=repr(kind))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def load(private_pem: bytes) -> PrivateKey:
    """The key in an unencrypted PEM; one that no node would believe is refused before it signs."""
    try:
        key = serialization.load_pem_private_key(private_pem, password=None)
    except TypeError as error:
        raise OperatorError("signing.key-encrypted", "the key is encrypted", hint="decrypt it first") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DataError("signing.key", "this is no private key", expected="PEM, PKCS #8", found=str(error)) from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size in _RSA_BITS_TAKEN:
        return key
    raise OperatorError("signing.key-kind", "nodes do not believe keys of this kind or size", expected=", ".join(KINDS))


def key_id(key: PrivateKey) -> str:
    """The name that envelopes give the key: SHA-256 of the public half's DER, in hexadecimal."""
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
