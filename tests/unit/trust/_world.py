# SPDX-License-Identifier: MIT
"""The other parties of a signature, small enough to lie with: a CA with a certificate log, two logs, a timestamper.

They are made with `cryptography` and plain hashing, not with what is under test (only the DER encoder is shared).
Whoever attacks takes the parts and puts them together wrongly; documents are plain dicts until they are encoded.

    world = World()
    signer = world.signer("me@example.org")
    found = world.bundle(signer, content)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from powernode.trust.der import OCTET_STRING, encode
from powernode.trust.policy import Found, Kind
from powernode.trust.root import TrustRoot, read_trusted_root
from unit.trust._parties import (
    ISSUER,
    LIFE,
    SIGNER_USAGE,
    STAMPING,
    START,
    YEARS,
    Extensions,
    Party,
    PrivateKey,
    b64,
    ca_extensions,
    certify,
    compact,
    next_serial,
    p256,
    p384,
    pem,
    rfc3339,
    sign,
    signer_extensions,
    spki,
)
from unit.trust._timestamper import timestamp_response


@dataclass(kw_only=True)
class LogServer:
    """A log that signs whatever it is asked to."""

    origin: str
    key: PrivateKey
    tree: int | None = None
    leaves: list[bytes] = field(default_factory=lambda: [b"an older entry", b"another", b"a third"])

    @property
    def log_id(self) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return hashlib.sha256(self.origin.encode() + b"\n\x01" + raw).digest()
        return hashlib.sha256(spki(self.key)).digest()

    def promise(self, body: bytes, time: int, index: int) -> bytes:
        payload = {"body": b64(body), "integratedTime": time, "logID": self.log_id.hex(), "logIndex": index}
        return sign(self.key, compact(payload))

    def checkpoint(self, leaves: list[bytes], first: str | None = None) -> str:
        """`first`: what it calls itself, if not by its origin."""
        first = first or (self.origin if self.tree is None else f"{self.origin} - {self.tree}")
        text = f"{first}\n{len(leaves)}\n{b64(root(leaves))}\n"
        return f"{text}\n— {self.origin} {b64(self.log_id[:4] + sign(self.key, text.encode()))}\n"

    def entry(self, body: bytes, time: int | None) -> dict[str, Any]:
        """Takes `body` in; the entry in the form of bundles."""
        document = json.loads(body)
        self.leaves.append(body)
        index = len(self.leaves) - 1
        self.leaves.append(b"a later entry")
        found: dict[str, Any] = {
            "logIndex": str(index + 1000),
            "logId": {"keyId": b64(self.log_id)},
            "kindVersion": {"kind": document["kind"], "version": document["apiVersion"]},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": b64(root(self.leaves)),
                "treeSize": str(len(self.leaves)),
                "hashes": [b64(item) for item in path(index, self.leaves)],
                "checkpoint": {"envelope": self.checkpoint(self.leaves)},
            },
            "canonicalizedBody": b64(body),
        }
        if time is not None:
            found["integratedTime"] = str(time)
            found["inclusionPromise"] = {"signedEntryTimestamp": b64(self.promise(body, time, index + 1000))}
        return found


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word: recursive and slow."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path(index, leaves[:half]), root(leaves[half:])]
    return [*path(index - half, leaves[half:]), root(leaves[:half])]


def tls(data: bytes, width: int = 2) -> bytes:
    return len(data).to_bytes(width, "big") + data


def hashedrekord(message: bytes, signature: bytes, verifier_pem: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(message).hexdigest()
    spec = {
        "data": {"hash": {"algorithm": "sha256", "value": digest}},
        "signature": {"content": b64(signature), "publicKey": {"content": b64(verifier_pem)}},
    }
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}


def hashedrekord2(message: bytes, signature: bytes, certificate: bytes) -> dict[str, Any]:
    verifier = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": b64(certificate)}}
    inside = {
        "data": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(message).digest())},
        "signature": {"content": b64(signature), "verifier": verifier},
    }
    return {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": inside}}


def dsse1(payload: bytes, signature: bytes, verifier_pem: bytes) -> dict[str, Any]:
    spec = {
        "envelopeHash": {"algorithm": "sha256", "value": "00" * 32},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": [{"signature": b64(signature), "verifier": b64(verifier_pem)}],
    }
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}


def intoto2(payload: bytes, signature: bytes, verifier_pem: bytes) -> dict[str, Any]:
    twice = b64(b64(signature).encode())
    envelope = {
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": twice, "publicKey": b64(verifier_pem)}],
    }
    digest = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
    return {"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {"envelope": envelope, "payloadHash": digest}}}


def pae(payload: bytes, kind: str = "application/vnd.in-toto+json") -> bytes:
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)


def statement(digest: str, predicate_type: str, predicate: Any = None) -> bytes:
    subject = [{"name": "module", "digest": {"sha256": digest.removeprefix("sha256:")}}]
    document = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate_type}
    return compact({**document, "predicate": predicate or {}})


def simple_payload(digest: str, **critical: Any) -> bytes:
    inside = {
        "identity": {"docker-reference": "registry.example.org/acme/redis"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
        **critical,
    }
    return compact({"critical": inside, "optional": None})


class World:
    """Everybody, with fresh keys."""

    def __init__(self) -> None:
        self.root = certify("root", p384(), ca_extensions(), start=START - YEARS)
        purposes = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
        self.between = certify("between", p384(), [*ca_extensions(0), purposes], by=self.root)
        self.certificate_log = LogServer(origin="ct.example.org/2026", key=p256())
        self.log = LogServer(origin="rekor.example.org", key=p256(), tree=4711)
        self.log2 = LogServer(origin="log2026.rekor.example.org", key=ed25519.Ed25519PrivateKey.generate())
        self.tsa_root = certify("tsa root", p384(), ca_extensions(0))
        self.tsa = certify("tsa", p256(), [(SIGNER_USAGE, True), (STAMPING, True)], by=self.tsa_root)

    def trusted_root(self) -> dict[str, Any]:
        valid = {"start": rfc3339(START - YEARS)}

        def log(server: LogServer) -> dict[str, Any]:
            details = "PKIX_ED25519" if isinstance(server.key, ed25519.Ed25519PrivateKey) else "PKIX_ECDSA_P256_SHA_256"
            return {
                "baseUrl": f"https://{server.origin}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": b64(spki(server.key)), "keyDetails": details, "validFor": valid},
                "logId": {"keyId": b64(server.log_id)},
            }

        def authority(*chain: Party) -> dict[str, Any]:
            certificates = [{"rawBytes": b64(party.der)} for party in chain]
            return {"uri": "https://example.org", "certChain": {"certificates": certificates}, "validFor": valid}

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log), log(self.log2)],
            "certificateAuthorities": [authority(self.between, self.root)],
            "ctlogs": [log(self.certificate_log)],
            "timestampAuthorities": [authority(self.tsa, self.tsa_root)],
        }

    def trust_root(self, **changes: Any) -> TrustRoot:
        return read_trusted_root(compact({**self.trusted_root(), **changes}), name="the world")

    def signer(
        self,
        subject: str,
        *,
        issuer: str | None = ISSUER,
        start: int = START,
        life: int = LIFE,
        extensions: Extensions | None = None,
        announced: bool = True,
    ) -> Party:
        """A signer's certificate, announced to the certificate log."""
        key, serial = p256(), next_serial()
        wanted = signer_extensions(subject, issuer) if extensions is None else extensions
        before = certify("", key, wanted, by=self.between, start=start, end=start + life, serial=serial)
        if not announced:
            return before
        timestamps = (timestamp_list(tls(tls(self.announce(before, start * 1000)))), False)
        return certify("", key, [*wanted, timestamps], by=self.between, start=start, end=start + life, serial=serial)

    def announce(self, before: Party, milliseconds: int) -> bytes:
        """The certificate log's signed timestamp of a certificate that does not have one yet."""
        tbs = before.certificate.tbs_certificate_bytes
        entry = b"\0\1" + hashlib.sha256(spki(self.between.key)).digest() + tls(tbs, 3)
        time = milliseconds.to_bytes(8, "big")
        signature = sign(self.certificate_log.key, b"\0\0" + time + entry + tls(b""))
        return b"\0" + self.certificate_log.log_id + time + tls(b"") + b"\4\3" + tls(signature)

    def bundle_document(
        self, signer: Party, content: bytes, *, time: int | None = START + 5, version: str = "0.3"
    ) -> dict[str, Any]:
        """A signature over the artifact's bytes; without `time` it is in Rekor 2, and the timestamper says when."""
        signature = sign(signer.key, content)
        return {
            **self._frame(signer, signature, time, content, None, version),
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(content).digest())},
                "signature": b64(signature),
            },
        }

    def envelope_document(
        self, signer: Party, payload: bytes, *, time: int | None = START + 5, version: str = "0.3"
    ) -> dict[str, Any]:
        signature = sign(signer.key, pae(payload))
        return {
            **self._frame(signer, signature, time, pae(payload), payload, version),
            "dsseEnvelope": {
                "payload": b64(payload),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": b64(signature)}],
            },
        }

    def _frame(
        self, signer: Party, signature: bytes, time: int | None, message: bytes, payload: bytes | None, version: str
    ) -> dict[str, Any]:
        material: dict[str, Any] = {"certificate": {"rawBytes": b64(signer.der)}}
        media_type = f"application/vnd.dev.sigstore.bundle.v{version}+json"
        if version != "0.3":
            material = {"x509CertificateChain": {"certificates": [{"rawBytes": b64(signer.der)}]}}
            media_type = f"application/vnd.dev.sigstore.bundle+json;version={version}"
        if time is None:
            body = hashedrekord2(message, signature, signer.der)
            material["tlogEntries"] = [self.log2.entry(compact(body), None)]
            stamps = [{"signedTimestamp": b64(self.timestamp(signature, START + 7))}]
            material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
        else:
            signed_by = pem(signer.certificate)
            entry = hashedrekord(message, signature, signed_by)
            if payload is not None:
                entry = dsse1(payload, signature, signed_by)
            material["tlogEntries"] = [self.log.entry(compact(entry), time)]
        return {"mediaType": media_type, "verificationMaterial": material}

    def simple(self, signer: Party, digest: str, *, time: int = START + 5, **critical: Any) -> Found:
        """As cosign leaves it behind a keyless signature: with the log's promise, and with the root in the chain."""
        payload = simple_payload(digest, **critical)
        signature = sign(signer.key, payload)
        body = compact(hashedrekord(payload, signature, pem(signer.certificate)))
        inside = {"body": b64(body), "integratedTime": time, "logIndex": 7, "logID": self.log.log_id.hex()}
        bundle = {"SignedEntryTimestamp": b64(self.log.promise(body, time, 7)), "Payload": inside}
        return Found(
            kind=Kind.SIMPLE,
            where="tag",
            payload=payload,
            signature=b64(signature),
            certificate=signer.pem,
            chain=self.between.pem + self.root.pem,
            bundle=compact(bundle).decode(),
        )

    def timestamp(self, message: bytes, time: int, **changes: Any) -> bytes:
        return timestamp_response(self.tsa, message, time, **changes)


def timestamp_list(listed: bytes) -> x509.UnrecognizedExtension:
    """The extension with a certificate's signed timestamps."""
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
    return x509.UnrecognizedExtension(oid, encode(OCTET_STRING, listed))


def found_in(document: dict[str, Any]) -> Found:
    return Found(kind=Kind.BUNDLE, where="referrer", payload=compact(document))
