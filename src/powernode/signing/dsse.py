# SPDX-License-Identifier: MIT
"""Sign a payload: the counterpart of `trust.dsse.verify`.

Invariants: the algorithms of `keys.sign`, nothing else.

Out of scope: what the payload means; keys in hardware or in the cloud.

    envelope = sign(payload, "application/vnd.powernode.set.v1+json", private_pem)
"""

from __future__ import annotations

from powernode.signing import keys
from powernode.wire import dsse

__all__ = ["sign", "sign_with"]


def sign(payload: bytes, payload_type: str, private_pem: bytes) -> bytes:
    """The envelope with one signature, which names its key."""
    key = keys.load(private_pem)
    return dsse.encode(sign_with(key, payload, payload_type, key_id=keys.key_id(key)))


def sign_with(key: keys.PrivateKey, payload: bytes, payload_type: str, *, key_id: str) -> dsse.Envelope:
    """The same with a key that is loaded already; `key_id` is empty for readers that take it for an SSH fingerprint."""
    value = keys.sign(key, dsse.pre_authentication(payload_type, payload))
    signature = dsse.Signature(key_id=key_id, value=value)
    return dsse.Envelope(payload_type=payload_type, payload=payload, signatures=(signature,))
