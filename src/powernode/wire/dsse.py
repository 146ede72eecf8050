# SPDX-License-Identifier: MIT
"""The Dead Simple Signing Envelope: a payload, what it is, and signatures over both.

Invariants: `parse` is bounded and refuses JSON that two readers could take for different things; as DSSE asks its
readers to, it overlooks members it does not know (nothing outside payload and type is signed anyway) and takes both
alphabets of base64. `pre_authentication` is what is signed: type and payload with their lengths, so neither can be
taken for a part of the other.

Out of scope: whether a signature is right (`trust.dsse`) and making one (`signing.dsse`).

    envelope = parse(data, max_bytes=1 << 20)
    pre_authentication(envelope.payload_type, envelope.payload)     # b"DSSEv1 36 application/… 7 {…}"
"""

from __future__ import annotations

import binascii

from powernode.base import canonical
from powernode.base.fields import Fields
from powernode.base.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["MAX_SIGNATURES", "Envelope", "Signature", "encode", "parse", "pre_authentication"]

MAX_SIGNATURES = 8

_CODE = "wire.dsse"
_MAX_VALUES = 4096  # of an envelope of many megabytes nearly all is one text
_URL_SAFE = str.maketrans("-_", "+/")


class Signature(Value):
    """`key_id` is a hint of whoever made the envelope; nothing vouches for it."""

    __slots__ = ("key_id", "value")

    def __init__(self, *, key_id: str, value: bytes) -> None:
        self.key_id = key_id
        self.value = value


class Envelope(Value):
    """What was read; nothing of it is to be believed yet."""

    __slots__ = ("payload", "payload_type", "signatures")

    def __init__(self, *, payload_type: str, payload: bytes, signatures: tuple[Signature, ...]) -> None:
        self.payload_type = payload_type
        self.payload = payload
        self.signatures = signatures


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (the specification's PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode(envelope: Envelope) -> bytes:
    signatures: list[Json] = [
        {"keyid": signature.key_id, "sig": _base64(signature.value)} for signature in envelope.signatures
    ]
    return canonical.encode(
        {"payloadType": envelope.payload_type, "payload": _base64(envelope.payload), "signatures": signatures}
    )


def parse(data: bytes, *, max_bytes: int) -> Envelope:
    """The envelope in `data`; codes `json.*` and `wire.dsse.*`."""
    what = "the envelope"
    value = canonical.decode(data, what=what, max_bytes=max_bytes, max_values=_MAX_VALUES)
    fields = Fields(value, code=_CODE, what=what)
    payload_type = fields.text("payloadType", longest=256)
    payload = _bytes(fields, "payload", longest=max_bytes)
    signatures = []
    for item in fields.each("signatures", most=MAX_SIGNATURES):
        key_id = "" if item.null("keyid") else item.text("keyid", "", longest=1024)
        signatures.append(Signature(key_id=key_id, value=_bytes(item, "sig", longest=8192)))
        item.ignore_others()
    return Envelope(payload_type=payload_type, payload=payload, signatures=tuple(signatures))


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _bytes(fields: Fields, name: str, *, longest: int) -> bytes:
    text = fields.text(name, longest=longest)
    try:
        return binascii.a2b_base64(text.translate(_URL_SAFE), strict_mode=True)
    except ValueError as error:  # binascii.Error, and characters beyond ASCII
        raise fields.refusal("base64", f"{name} of {fields.what} is not base64", found=str(error)) from None
