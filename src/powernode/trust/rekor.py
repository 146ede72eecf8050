# SPDX-License-Identifier: MIT
"""That a log of signatures has this signature, and since when.

Invariants: `verify` returns only if a log of the trust root vouches for the entry, by its signature under the entry
itself (the signed entry timestamp), or under a checkpoint whose root an inclusion proof reaches, or both; whichever is
there must be right. And the entry must really be about what was signed: the same digest, the same signature, the same
key or certificate, compared as bytes. The time is believed only from the log's signature over it; Rekor 2 has none.

Entries: hashedrekord 0.0.1 and 0.0.2, dsse 0.0.1 and 0.0.2, intoto 0.0.2.

Out of scope: asking a log; whether the log tells others the same (that is for witnesses).

    logged = verify(entry, signed, log_of(entry, logs), needs_proof=True)
    logged.index, logged.integrated_time
"""

from __future__ import annotations

import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.trust import checkpoint, merkle
from powernode.trust._json import base64_of, document
from powernode.trust._utc import utc
from powernode.trust.algorithms import is_by
from powernode.trust.pem import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.trust.root import Log

__all__ = ["MAX_BODY", "Entry", "Inclusion", "Logged", "Signed", "log_of", "verify"]

MAX_BODY = 8 << 20
_CODE = "trust.log.entry"
_MAX_PEM = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """A way through the log's tree, and the log's word for its root (empty if it is not given)."""

    index: int
    size: int
    root_hash: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What somebody says is in a log; nothing of it is to be believed yet."""

    log_id: bytes
    index: int
    body: bytes
    integrated_time: int | None
    promise: bytes | None
    """The signed entry timestamp."""

    inclusion: Inclusion | None
    kind: tuple[str, str] | None = None
    """Name and version of the body, if they are told beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What an entry has to be about: exactly this signature, by this key or certificate."""

    message: bytes
    """The bytes under the signature."""

    signature: bytes
    payload: bytes | None
    """The envelope's, if the message is an envelope's."""

    certificate: bytes | None
    """DER; None if a bare key signed."""

    spki: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """`integrated_time` is None if the log has not signed it."""

    log: Log
    index: int
    """As the log signed it with the time, or as the proof has it: what is written beside the entry proves nothing."""

    integrated_time: int | None


def log_of(entry: Entry, logs: Sequence[Log]) -> Log | None:
    """The log of the trust root that the entry names."""
    return next((log for log in logs if log.log_id == entry.log_id), None)


def verify(entry: Entry, signed: Signed, log: Log, *, needs_proof: bool) -> Logged:
    """What `log` has about `signed`; codes trust.log.{entry,time,proof,checkpoint,set}.

    Without `needs_proof` the log's signed timestamp, by which it promises inclusion, does in place of the proof.
    """
    has_proof = entry.inclusion is not None and entry.inclusion.checkpoint
    if not has_proof and (needs_proof or entry.promise is None):
        raise DataError("trust.log.proof", "no inclusion proof with a checkpoint is with the log's entry")
    _check_body(entry, signed)
    if entry.inclusion is not None and entry.inclusion.checkpoint:
        _check_inclusion(entry.body, entry.inclusion, log)
    if entry.promise is not None:
        return Logged(log=log, index=entry.index, integrated_time=_check_promise(entry, entry.promise, log))
    assert entry.inclusion is not None
    return Logged(log=log, index=entry.inclusion.index, integrated_time=None)


def _check_promise(entry: Entry, promise: bytes, log: Log) -> int:
    if not entry.integrated_time:
        raise DataError("trust.log.set", "the log's signed timestamp has no time")
    message = canonical.encode(
        {
            "body": binascii.b2a_base64(entry.body, newline=False).decode("ascii"),
            "integratedTime": entry.integrated_time,
            "logID": entry.log_id.hex(),
            "logIndex": entry.index,
        }
    )
    if not is_by(log.key, message, promise):
        raise DataError("trust.log.set", "the log has not signed this entry and its time", found=log.origin)
    if not log.is_valid(entry.integrated_time):
        raise DataError(
            "trust.log.time",
            "the log's key was not valid when it took the entry in",
            expected=f"{utc(log.start)} to {utc(log.end)}",
            found=utc(entry.integrated_time),
        )
    return entry.integrated_time


def _check_inclusion(body: bytes, inclusion: Inclusion, log: Log) -> None:
    leaf = merkle.leaf_hash(body)
    root = merkle.root_of(leaf, index=inclusion.index, size=inclusion.size, hashes=inclusion.hashes)
    told = checkpoint.verify(inclusion.checkpoint, log)
    if (told.root_hash, told.size) != (root, inclusion.size) or root != inclusion.root_hash:
        raise DataError(
            "trust.log.proof",
            "the inclusion proof does not lead to the log's root",
            expected=f"{told.root_hash.hex()} of {told.size} entries",
            found=f"{root.hex()} of {inclusion.size}",
        )


def _check_body(entry: Entry, signed: Signed) -> None:
    body = document(entry.body, code=_CODE, what="the log's entry", max_bytes=MAX_BODY)
    kind = (body.text("kind", longest=64), body.text("apiVersion", longest=64))
    if entry.kind not in (None, kind):
        raise _mismatch("the log's entry is of another kind than is said beside it", found=f"{kind[0]} {kind[1]}")
    check = _KINDS.get(kind)
    if check is None:
        raise _mismatch("the log's entry is of a kind we cannot read", found=f"{kind[0]} {kind[1]}")
    check(body.fields("spec"), signed)


def _check_hashedrekord_1(spec: Fields, signed: Signed) -> None:
    _check_hash(spec.fields("data").fields("hash"), "value", signed.message)
    signature = spec.fields("signature")
    _check_signature(base64_of(signature, "content"), signed)
    _check_pem(base64_of(signature.fields("publicKey"), "content"), signed)


def _check_hashedrekord_2(spec: Fields, signed: Signed) -> None:
    inside = spec.fields("hashedRekordV002")
    _check_hash(inside.fields("data"), "digest", signed.message)
    _check_signature_2(inside.fields("signature"), signed)


def _check_dsse_1(spec: Fields, signed: Signed) -> None:
    # envelopeHash is of the envelope as it was sent to the log, whose spelling nobody keeps; but payload and signature
    # are all that an envelope has, and the signature covers the payload's type.
    _check_hash(spec.fields("payloadHash"), "value", _payload(signed))
    for signature in _only(spec, "signatures"):
        _check_signature(base64_of(signature, "signature"), signed)
        _check_pem(base64_of(signature, "verifier"), signed)
        signature.ignore_others()


def _check_dsse_2(spec: Fields, signed: Signed) -> None:
    inside = spec.fields("dsseV002")
    _check_hash(inside.fields("payloadHash"), "digest", _payload(signed))
    for signature in _only(inside, "signatures"):
        _check_signature_2(signature, signed)
        signature.ignore_others()


def _check_intoto_2(spec: Fields, signed: Signed) -> None:
    content = spec.fields("content")
    _check_hash(content.fields("payloadHash"), "value", _payload(signed))
    for signature in _only(content.fields("envelope"), "signatures"):
        value = base64_of(signature, "sig")
        try:  # this kind of entry has the envelope's base64 in base64
            value = binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            raise _mismatch("the signature in the log's entry is not base64 in base64") from None
        _check_signature(value, signed)
        _check_pem(base64_of(signature, "publicKey"), signed)
        signature.ignore_others()


_KINDS = {
    ("hashedrekord", "0.0.1"): _check_hashedrekord_1,
    ("hashedrekord", "0.0.2"): _check_hashedrekord_2,
    ("dsse", "0.0.1"): _check_dsse_1,
    ("dsse", "0.0.2"): _check_dsse_2,
    ("intoto", "0.0.2"): _check_intoto_2,
}

_HASHES = {
    **{"sha256": "sha256", "sha384": "sha384", "sha512": "sha512"},
    **{"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"},
}


def _only(fields: Fields, name: str) -> list[Fields]:
    """The one object of a list."""
    found = fields.items(name, most=8)
    if len(found) != 1:
        raise _mismatch("the log's entry is not of exactly one signature", found=str(len(found)))
    return [Fields(found[0], code=_CODE, what=f"{name} of {fields.what}")]


def _payload(signed: Signed) -> bytes:
    if signed.payload is None:
        raise _mismatch("the log's entry is about an envelope, and there is none")
    return signed.payload


def _check_hash(fields: Fields, member: str, message: bytes) -> None:
    name = fields.text("algorithm", longest=16)
    if name not in _HASHES:
        raise _mismatch("the log's entry uses a hash we do not take", found=name)
    if member == "value":
        expected, found = hashlib.new(_HASHES[name], message).hexdigest(), fields.text("value", longest=128)
    else:
        expected, found = hashlib.new(_HASHES[name], message).hexdigest(), base64_of(fields, "digest").hex()
    if expected != found:
        raise _mismatch("the log's entry is about something else", expected=expected, found=found)


def _check_signature_2(fields: Fields, signed: Signed) -> None:
    _check_signature(base64_of(fields, "content"), signed)
    verifier = fields.fields("verifier")
    is_certificate = verifier.has("x509Certificate")
    inside = verifier.fields("x509Certificate" if is_certificate else "publicKey")
    _check_verifier(base64_of(inside, "rawBytes"), signed, is_certificate=is_certificate)


def _check_signature(found: bytes, signed: Signed) -> None:
    if found != signed.signature:
        raise _mismatch("the log's entry is of another signature")


def _check_pem(pem: bytes, signed: Signed) -> None:
    is_certificate = b"-----BEGIN CERTIFICATE-----" in pem
    label = "CERTIFICATE" if is_certificate else "PUBLIC KEY"
    found = blocks(pem, label, code=_CODE, most=_MAX_PEM)
    if len(found) != 1:
        raise _mismatch("the log's entry is not of exactly one key", found=str(len(found)))
    _check_verifier(found[0], signed, is_certificate=is_certificate)


def _check_verifier(der: bytes, signed: Signed, *, is_certificate: bool) -> None:
    if is_certificate and (signed.certificate is None or der != signed.certificate):
        raise _mismatch("the log's entry is of another certificate")
    if not is_certificate and (signed.certificate is not None or der != signed.spki):
        raise _mismatch("the log's entry is of another key")


def _mismatch(message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(_CODE, message, expected=expected, found=found)
