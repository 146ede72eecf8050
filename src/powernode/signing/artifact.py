# SPDX-License-Identifier: MIT
"""Signatures over artifacts, in the forms that cosign, sigstore's clients and `trust.artifact` read.

Two forms, one meaning ("this digest is what I published"):

* the *simple signing* document, whose signature travels in annotations: cosign's `.sig` image;
* a *sigstore bundle* v0.3 round a DSSE envelope round an in-toto statement: a referrer. A signature is the statement
  with cosign's own predicate type and an empty predicate; an attestation is any other statement.

Invariants: what is signed names the digest; a signer with a certificate always sends it along. Equal inputs and keys
give equal bytes: there is no time and no random number in what we add.

Out of scope: where the forms are kept (`module.sign`); how a log or a timestamp is asked (`rekor`, `timestamp`).

    signed = sign_simple(Signer(key=key), digest, "registry.example.com/acme/redis")
    signed.content, layer_annotations(signed, Evidence())         # the layer of a `.sig` image
    bundle(sign_statement(signer, statement(digest, SIGNATURE_PREDICATE, {})), Evidence())
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from powernode.base import canonical
from powernode.signing import dsse, keys
from powernode.wire import dsse as wire
from powernode.wire import intoto

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.base.canonical import Json

__all__ = [
    "BUNDLE_TYPE",
    "SIGNATURE_PREDICATE",
    "SIMPLE_TYPE",
    "Evidence",
    "Inclusion",
    "LogEntry",
    "Signed",
    "Signer",
    "bundle",
    "certificates_pem",
    "layer_annotations",
    "sign_simple",
    "sign_statement",
    "statement",
]

SIMPLE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNATURE_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
_SIMPLE_KIND = "cosign container image signature"
_MAX_DEPTH = 64  # of a predicate: SBOMs nest


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key, and the certificate that says whose it is (DER), if any; `chain` is from its issuer upwards."""

    key: keys.PrivateKey
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()

    @property
    def verifier_pem(self) -> bytes:
        """What a log keeps of the signer: the certificate, else the public key."""
        return certificates_pem([self.certificate]) if self.certificate else keys.public_pem(self.key.public_key())


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """`content` is the simple signing document, or the whole envelope; `signature` is the bare one in both cases."""

    signer: Signer
    content: bytes
    signature: bytes
    is_envelope: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """A log's proof that an entry is in its tree."""

    index: int
    tree_size: int
    root_hash: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """What Rekor answered; `body` is the entry in its canonical form."""

    body: bytes
    kind: str
    version: str
    integrated_time: int
    index: int
    log_id: bytes
    promise: bytes
    """The signed entry timestamp."""

    inclusion: Inclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What others vouch for: that the signature is in a log, and when it was there."""

    log: LogEntry | None = None
    timestamp: bytes | None = None
    """An RFC 3161 response (DER) over the bare signature."""


def statement(digest: str, predicate_type: str, predicate: Json) -> bytes:
    """An in-toto statement about the artifact ("sha256:…")."""
    algorithm, _, digits = digest.partition(":")
    return canonical.encode(
        {
            "_type": intoto.STATEMENT_TYPE,
            "subject": [{"digest": {algorithm: digits}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        },
        max_depth=_MAX_DEPTH,
    )


def sign_statement(signer: Signer, content: bytes) -> Signed:
    """An envelope round an in-toto statement."""
    envelope = dsse.sign_with(signer.key, content, intoto.PAYLOAD_TYPE, key_id="")
    (signature,) = envelope.signatures
    return Signed(signer=signer, content=wire.encode(envelope), signature=signature.value, is_envelope=True)


def sign_simple(signer: Signer, digest: str, reference: str) -> Signed:
    """A simple signing document; `reference` is where its publisher put it, for people to read."""
    content = canonical.encode(
        {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest},
                "type": _SIMPLE_KIND,
            },
            "optional": None,
        }
    )
    return Signed(signer=signer, content=content, signature=keys.sign(signer.key, content), is_envelope=False)


def layer_annotations(signed: Signed, evidence: Evidence) -> dict[str, str]:
    """What a `.sig` image's layer says of the simple signing document in it."""
    found = {"dev.cosignproject.cosign/signature": _text(signed.signature)}
    if signed.signer.certificate:
        found["dev.sigstore.cosign/certificate"] = certificates_pem([signed.signer.certificate]).decode()
        found["dev.sigstore.cosign/chain"] = certificates_pem(signed.signer.chain).decode()
    if evidence.log:
        entry: dict[str, Json] = {
            "body": _text(evidence.log.body),
            "integratedTime": evidence.log.integrated_time,
            "logIndex": evidence.log.index,
            "logID": evidence.log.log_id.hex(),
        }
        found["dev.sigstore.cosign/bundle"] = canonical.encode(
            {"SignedEntryTimestamp": _text(evidence.log.promise), "Payload": entry}
        ).decode()
    if evidence.timestamp:
        found["dev.sigstore.cosign/rfc3161timestamp"] = canonical.encode(
            {"SignedRFC3161Timestamp": _text(evidence.timestamp)}
        ).decode()
    return found


def bundle(signed: Signed, evidence: Evidence) -> bytes:
    """The sigstore bundle round a signed envelope."""
    material: dict[str, Json] = {}
    if signed.signer.certificate:
        material["certificate"] = {"rawBytes": _text(signed.signer.certificate)}
    else:
        hint = hashlib.sha256(keys.public_der(signed.signer.key.public_key())).digest()
        material["publicKey"] = {"hint": _text(hint)}
    if evidence.log:
        material["tlogEntries"] = [_log_entry(evidence.log)]
    if evidence.timestamp:
        timestamps: list[Json] = [{"signedTimestamp": _text(evidence.timestamp)}]
        material["timestampVerificationData"] = {"rfc3161Timestamps": timestamps}
    envelope = canonical.decode(signed.content, what="the envelope", max_bytes=len(signed.content))
    return canonical.encode({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def certificates_pem(certificates: Sequence[bytes]) -> bytes:
    """PEM of DER certificates, in their order."""
    loaded = [x509.load_der_x509_certificate(der) for der in certificates]
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in loaded)


def _log_entry(entry: LogEntry) -> dict[str, Json]:
    """Numbers are texts, as everywhere in the JSON of protocol buffers."""
    hashes: list[Json] = [_text(each) for each in entry.inclusion.hashes]
    return {
        "logIndex": str(entry.index),
        "logId": {"keyId": _text(entry.log_id)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
        "integratedTime": str(entry.integrated_time),
        "inclusionPromise": {"signedEntryTimestamp": _text(entry.promise)},
        "inclusionProof": {
            "logIndex": str(entry.inclusion.index),
            "rootHash": _text(entry.inclusion.root_hash),
            "treeSize": str(entry.inclusion.tree_size),
            "hashes": hashes,
            "checkpoint": {"envelope": entry.inclusion.checkpoint},
        },
        "canonicalizedBody": _text(entry.body),
    }


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
