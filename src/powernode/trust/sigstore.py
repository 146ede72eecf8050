# SPDX-License-Identifier: MIT
"""sigstore bundles, versions 0.1 to 0.3: one JSON document with a signature and all that is needed to check it.

Invariants: everything is bounded; what the versions ask for is asked for (0.3: one certificate and no chain; from 0.2
on: inclusion proofs); a chain must not bring its root along. Members we do not know are overlooked: nothing
outside of what is read here is believed.

Out of scope: checking (`artifact`).

    bundle = read(data)
    bundle.envelope or bundle.message_signature
"""

from __future__ import annotations

from dataclasses import dataclass

from powernode.base.fields import Fields
from powernode.trust import x509
from powernode.trust._json import base64_of, document, is_present, number_of
from powernode.trust.rekor import Entry, Inclusion
from powernode.trust.x509 import Certificate

__all__ = ["MAX_BYTES", "Bundle", "Envelope", "MessageSignature", "read"]

MAX_BYTES = 16 << 20
_MAX_ENTRIES = 8
_MAX_TIMESTAMPS = 8
_CODE = "trust.sigstore"
_VERSIONS = {
    "application/vnd.dev.sigstore.bundle+json;version=0.1": (0, 1),
    "application/vnd.dev.sigstore.bundle+json;version=0.2": (0, 2),
    "application/vnd.dev.sigstore.bundle+json;version=0.3": (0, 3),
    "application/vnd.dev.sigstore.bundle.v0.3+json": (0, 3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSignature:
    digest: bytes | None
    """SHA-256 of the message, which whoever made the bundle wrote there; a hint."""

    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    payload_type: str
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What was read; either `message_signature` or `envelope` is there. Without `leaf` a bare key has signed, and
    `key_hint` is what it calls itself."""

    version: tuple[int, int]
    message_signature: MessageSignature | None
    envelope: Envelope | None
    leaf: Certificate | None
    key_hint: str
    between: tuple[Certificate, ...]
    entries: tuple[Entry, ...]
    timestamps: tuple[bytes, ...]


def read(data: bytes) -> Bundle:
    """The bundle in `data`; codes json.*, trust.sigstore.*, trust.x509.*, trust.der, trust.key."""
    what = "the sigstore bundle"
    fields = document(data, code=_CODE, what=what, max_bytes=MAX_BYTES)
    media_type = fields.text("mediaType", longest=128)
    version = _VERSIONS.get(media_type)
    if version is None:
        raise fields.refusal("version", "this is no sigstore bundle we know", found=media_type)
    material = fields.fields("verificationMaterial")
    certificates, key_hint = _signer(material, version)
    if is_present(fields, "messageSignature") == is_present(fields, "dsseEnvelope"):
        raise fields.refusal("content", f"{what} has to hold either a signature or an envelope")
    return Bundle(
        version=version,
        message_signature=_message_signature(fields) if fields.has("messageSignature") else None,
        envelope=_envelope(fields.fields("dsseEnvelope")) if fields.has("dsseEnvelope") else None,
        leaf=certificates[0] if certificates else None,
        key_hint=key_hint,
        between=tuple(certificates[1:]),
        entries=_entries(material),
        timestamps=_timestamps(material),
    )


def _signer(material: Fields, version: tuple[int, int]) -> tuple[list[Certificate], str]:
    """Its certificates; or none, and the name it gives its key."""
    kinds = [name for name in ("publicKey", "certificate", "x509CertificateChain") if is_present(material, name)]
    if len(kinds) != 1:
        raise material.refusal("content", f"{material.what} has to hold a key's name, a certificate or a chain")
    if kinds[0] == "publicKey":
        # The hint says which key; we try those we believe, and show it if none of them is.
        return [], material.fields("publicKey").text("hint", "")
    if kinds[0] == "certificate":
        return [x509.read(base64_of(material.fields("certificate"), "rawBytes"))], ""
    if version >= (0, 3):
        raise material.refusal("content", f"{material.what} has a chain, which version 0.3 does away with")
    found = []
    for item in material.fields("x509CertificateChain").each("certificates", most=x509.MAX_CERTIFICATES):
        found.append(x509.read(base64_of(item, "rawBytes")))
        item.ignore_others()
    if not found:
        raise material.refusal("content", f"the chain of {material.what} is empty")
    if any(certificate.is_self_issued for certificate in found):
        raise material.refusal("content", f"the chain of {material.what} brings a root along")
    return found, ""


def _message_signature(fields: Fields) -> MessageSignature:
    inside = fields.fields("messageSignature")
    digest = None
    if is_present(inside, "messageDigest"):
        told = inside.fields("messageDigest")
        algorithm = told.text("algorithm", longest=64)
        if algorithm != "SHA2_256":
            raise told.refusal("value", f"algorithm of {told.what}", expected="SHA2_256", found=algorithm)
        digest = base64_of(told, "digest")
    return MessageSignature(digest=digest, signature=base64_of(inside, "signature"))


def _envelope(fields: Fields) -> Envelope:
    payload_type, payload = fields.text("payloadType", longest=256), base64_of(fields, "payload")
    signatures = []
    for item in fields.each("signatures", most=8):
        signatures.append(base64_of(item, "sig"))
        item.ignore_others()
    if len(signatures) != 1:
        raise fields.refusal("content", f"{fields.what} has to have one signature", found=str(len(signatures)))
    return Envelope(payload_type=payload_type, payload=payload, signature=signatures[0])


def _entries(material: Fields) -> tuple[Entry, ...]:
    found = []
    if is_present(material, "tlogEntries"):
        for item in material.each("tlogEntries", most=_MAX_ENTRIES):
            found.append(_entry(item))
            item.ignore_others()
    return tuple(found)


def _entry(item: Fields) -> Entry:
    kind = item.fields("kindVersion")
    promise = None
    if is_present(item, "inclusionPromise"):
        promise = base64_of(item.fields("inclusionPromise"), "signedEntryTimestamp")
    return Entry(
        log_id=base64_of(item.fields("logId"), "keyId"),
        index=number_of(item, "logIndex", default=0),  # protobuf leaves out what is 0
        body=base64_of(item, "canonicalizedBody"),
        integrated_time=number_of(item, "integratedTime", default=0) or None,
        promise=promise,
        inclusion=_inclusion(item.fields("inclusionProof")) if is_present(item, "inclusionProof") else None,
        kind=(kind.text("kind", longest=64), kind.text("version", longest=64)),
    )


def _inclusion(fields: Fields) -> Inclusion:
    checkpoint = ""
    if is_present(fields, "checkpoint"):
        checkpoint = fields.fields("checkpoint").text("envelope", longest=16 << 10)
    index, size = number_of(fields, "logIndex", default=0), number_of(fields, "treeSize")
    root_hash = base64_of(fields, "rootHash")
    hashes = fields.texts("hashes", [], most=64, longest=64)
    one = Fields(
        {str(number): value for number, value in enumerate(hashes)}, code=_CODE, what=f"hashes of {fields.what}"
    )
    return Inclusion(
        index=index,
        size=size,
        root_hash=root_hash,
        hashes=tuple(base64_of(one, str(number)) for number in range(len(hashes))),
        checkpoint=checkpoint,
    )


def _timestamps(material: Fields) -> tuple[bytes, ...]:
    found = []
    if is_present(material, "timestampVerificationData"):
        data = material.fields("timestampVerificationData")
        if is_present(data, "rfc3161Timestamps"):
            for item in data.each("rfc3161Timestamps", most=_MAX_TIMESTAMPS):
                found.append(base64_of(item, "signedTimestamp"))
                item.ignore_others()
    return tuple(found)
