# SPDX-License-Identifier: MIT
"""Sign a payload: the counterpart of `trust.dsse.verify`.

Invariants: Ed25519, ECDSA with SHA-256 (P-256) or SHA-384 (P-384), RSA with PKCS #1 v1.5 and SHA-256, nothing else.

Out of scope: what the payload means; keys in hardware or in the cloud.

    envelope = sign(payload, "application/vnd.powernode.set.v1+json", private_pem)
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from powernode.signing import keys
from powernode.wire import dsse

__all__ = ["sign"]


def sign(payload: bytes, payload_type: str, private_pem: bytes) -> bytes:
    """The envelope with one signature."""
    key = keys.load(private_pem)
    value = _signature(key, dsse.pre_authentication(payload_type, payload))
    signature = dsse.Signature(key_id=keys.key_id(key), value=value)
    return dsse.encode(dsse.Envelope(payload_type=payload_type, payload=payload, signatures=(signature,)))


def _signature(key: keys.PrivateKey, message: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256() if key.curve.key_size == 256 else hashes.SHA384()))
    return key.sign(message)
