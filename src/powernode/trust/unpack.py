# SPDX-License-Identifier: MIT
"""A `Found` taken apart, whichever of the three forms it has; nothing of the result is believed.

Out of scope: checking it (`artifact`); the forms themselves (`sigstore`, `simplesigning`, `wire.dsse`, `wire.intoto`).

    material = unpack(found, content=manifest)
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.trust import sigstore, simplesigning, x509
from powernode.trust.policy import Kind
from powernode.wire import dsse, intoto

if TYPE_CHECKING:
    from powernode.trust.policy import Found
    from powernode.trust.rekor import Entry
    from powernode.trust.x509 import Certificate

__all__ = ["Material", "unpack"]

_MAX_ENVELOPE = 12 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A signature with all that came with it."""

    message: bytes
    """The bytes under the signature."""

    signature: bytes
    digests: frozenset[str]
    """What the message is about: "sha256:…"."""

    predicate_type: str | None = None
    """Of an in-toto statement: what it says about them. None: that they are signed."""

    payload: bytes | None = None
    """The envelope's."""

    leaf: Certificate | None = None
    key_hint: str = ""
    """What the signature calls its key; nothing vouches for it."""

    between: tuple[Certificate, ...] = ()
    entries: tuple[Entry, ...] = ()
    timestamps: tuple[bytes, ...] = ()
    """DER of RFC 3161 responses."""

    stamped: bytes
    """The bytes the timestamps are over: the signature, but for cosign's attestations the envelope."""

    needs_proof: bool = False
    """Entries without inclusion proof do not count: so say bundles from version 0.2 on."""


def unpack(found: Found, *, content: bytes | None) -> Material:
    """The parts of `found`; any DataError means that it is malformed.

    `content` is the artifact; a signature over its bytes is about nothing if they are not given.
    """
    if found.kind is Kind.BUNDLE:
        return _bundle(found, content)
    leaf, between = _certificates(found)
    entries = (simplesigning.read_entry(found.bundle),) if found.bundle else ()
    timestamps = (simplesigning.read_timestamp(found.timestamp),) if found.timestamp else ()
    if found.kind is Kind.SIMPLE:
        signature = simplesigning.read_signature(found)
        return Material(
            message=found.payload,
            signature=signature,
            digests=frozenset((simplesigning.read_payload(found.payload),)),
            leaf=leaf,
            between=between,
            entries=entries,
            timestamps=timestamps,
            stamped=signature,
        )
    envelope = dsse.parse(found.payload, max_bytes=_MAX_ENVELOPE)
    if len(envelope.signatures) != 1:
        raise DataError("trust.unpack", "an envelope has to have one signature", found=str(len(envelope.signatures)))
    digests, predicate_type = _statement(envelope.payload_type, envelope.payload)
    return Material(
        message=dsse.pre_authentication(envelope.payload_type, envelope.payload),
        signature=envelope.signatures[0].value,
        digests=digests,
        predicate_type=predicate_type,
        payload=envelope.payload,
        leaf=leaf,
        key_hint=envelope.signatures[0].key_id,
        between=between,
        entries=entries,
        timestamps=timestamps,
        stamped=found.payload,
    )


def _bundle(found: Found, content: bytes | None) -> Material:
    bundle = sigstore.read(found.payload)
    if bundle.envelope is not None:
        message = dsse.pre_authentication(bundle.envelope.payload_type, bundle.envelope.payload)
        signature, payload = bundle.envelope.signature, bundle.envelope.payload
        digests, predicate_type = _statement(bundle.envelope.payload_type, payload)
    else:
        assert bundle.message_signature is not None
        told, signature, payload = bundle.message_signature.digest, bundle.message_signature.signature, None
        message, predicate_type, digests = content or b"", None, frozenset[str]()
        if content is not None and told in (None, sha256(content).digest()):
            digests = frozenset((f"sha256:{sha256(content).hexdigest()}",))
    return Material(
        message=message,
        signature=signature,
        digests=digests,
        predicate_type=predicate_type,
        payload=payload,
        leaf=bundle.leaf,
        key_hint=_key_id(bundle.key_hint),
        between=bundle.between,
        entries=bundle.entries,
        timestamps=bundle.timestamps,
        stamped=signature,
        needs_proof=bundle.version >= (0, 2),
    )


def _key_id(hint: str) -> str:
    """Most write the SHA-256 of the key in base64, which is its id in other letters."""
    try:
        value = binascii.a2b_base64(hint, strict_mode=True)
    except ValueError:
        return hint
    return value.hex() if len(value) == sha256().digest_size else hint


def _statement(payload_type: str, payload: bytes) -> tuple[frozenset[str], str]:
    if payload_type != intoto.PAYLOAD_TYPE:
        raise DataError(
            "trust.unpack", "the envelope holds no statement", expected=intoto.PAYLOAD_TYPE, found=payload_type[:100]
        )
    statement = intoto.parse(payload, max_bytes=_MAX_ENVELOPE)
    return frozenset(f"sha256:{digest}" for digest in statement.sha256), statement.predicate_type


def _certificates(found: Found) -> tuple[Certificate | None, tuple[Certificate, ...]]:
    """cosign's annotations; roots that it puts into the chain are left out: only pinned ones count."""
    if not found.certificate:
        return None, ()
    leaves = x509.read_pem(found.certificate.encode("utf-8", "surrogatepass"))
    if len(leaves) != 1:
        raise DataError("trust.unpack", "there has to be one certificate of the signer", found=str(len(leaves)))
    chain = x509.read_pem(found.chain.encode("utf-8", "surrogatepass")) if found.chain else []
    return leaves[0], tuple(certificate for certificate in chain if not certificate.is_self_issued)
