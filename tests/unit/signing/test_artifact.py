# SPDX-License-Identifier: MIT
"""The forms of signatures, member by member; tests/interop/test_cosign.py has the real cosign read them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import pytest

from powernode.signing import artifact, keys
from powernode.signing.artifact import Evidence, Inclusion, LogEntry, Signer
from powernode.wire import dsse
from unit.signing._authority import certified

DIGEST = "sha256:" + "ab" * 32
KEY = keys.new_key("ecdsa-p256")
ENTRY = LogEntry(
    body=b'{"kind":"dsse"}',
    kind="dsse",
    version="0.0.1",
    integrated_time=1_800_000_000,
    index=7,
    log_id=bytes(32),
    promise=b"promise",
    inclusion=Inclusion(index=5, tree_size=6, root_hash=b"\1" * 32, hashes=(b"\2" * 32,), checkpoint="log\n6\n"),
)


def test_a_simple_signature() -> None:
    signed = artifact.sign_simple(Signer(key=KEY), DIGEST, "registry.example.com/acme/redis")
    assert json.loads(signed.content) == {
        "critical": {
            "identity": {"docker-reference": "registry.example.com/acme/redis"},
            "image": {"docker-manifest-digest": DIGEST},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    keys.check(KEY.public_key(), signed.content, signed.signature)
    assert artifact.layer_annotations(signed, Evidence()) == {
        "dev.cosignproject.cosign/signature": b64encode(signed.signature).decode()
    }


def test_what_a_layer_says_of_certificate_log_and_timestamp() -> None:
    signer = certified()
    signed = artifact.sign_simple(signer, DIGEST, "x")
    found = artifact.layer_annotations(signed, Evidence(log=ENTRY, timestamp=b"stamp"))
    assert found["dev.sigstore.cosign/certificate"].count("BEGIN CERTIFICATE") == 1
    assert found["dev.sigstore.cosign/chain"].count("BEGIN CERTIFICATE") == 2
    assert json.loads(found["dev.sigstore.cosign/bundle"]) == {
        "SignedEntryTimestamp": b64encode(b"promise").decode(),
        "Payload": {
            "body": b64encode(ENTRY.body).decode(),
            "integratedTime": 1_800_000_000,
            "logIndex": 7,
            "logID": "00" * 32,
        },
    }
    assert json.loads(found["dev.sigstore.cosign/rfc3161timestamp"]) == {
        "SignedRFC3161Timestamp": b64encode(b"stamp").decode()
    }


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verification material and statement of a bundle whose signature is right by KEY or the certificate's key."""
    document = json.loads(data)
    assert document["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    return document["verificationMaterial"], json.loads(b64decode(document["dsseEnvelope"]["payload"]))


def test_a_bundle_by_a_key() -> None:
    signed = artifact.sign_statement(Signer(key=KEY), artifact.statement(DIGEST, artifact.SIGNATURE_PREDICATE, {}))
    material, statement = parts(artifact.bundle(signed, Evidence()))
    assert material == {"publicKey": {"hint": b64encode(sha256(keys.public_der(KEY.public_key())).digest()).decode()}}
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": "ab" * 32}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    envelope = dsse.parse(signed.content, max_bytes=1 << 16)
    (signature,) = envelope.signatures
    # Readers built on Go's DSSE library take a key id for an SSH fingerprint and skip what has another one.
    assert (signature.key_id, signature.value) == ("", signed.signature)
    message = dsse.pre_authentication("application/vnd.in-toto+json", envelope.payload)
    keys.check(KEY.public_key(), message, signature.value)


def test_a_bundle_by_a_certificate_with_evidence() -> None:
    signer = certified()
    signed = artifact.sign_statement(signer, artifact.statement(DIGEST, "https://slsa.dev/provenance/v1", {"a": [1]}))
    material, statement = parts(artifact.bundle(signed, Evidence(log=ENTRY, timestamp=b"stamp")))
    assert signer.certificate is not None
    assert statement["predicate"] == {"a": [1]}
    assert material == {
        "certificate": {"rawBytes": b64encode(signer.certificate).decode()},
        "tlogEntries": [
            {
                "logIndex": "7",
                "logId": {"keyId": b64encode(bytes(32)).decode()},
                "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                "integratedTime": "1800000000",
                "inclusionPromise": {"signedEntryTimestamp": b64encode(b"promise").decode()},
                "inclusionProof": {
                    "logIndex": "5",
                    "rootHash": b64encode(b"\1" * 32).decode(),
                    "treeSize": "6",
                    "hashes": [b64encode(b"\2" * 32).decode()],
                    "checkpoint": {"envelope": "log\n6\n"},
                },
                "canonicalizedBody": b64encode(ENTRY.body).decode(),
            }
        ],
        "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": b64encode(b"stamp").decode()}]},
    }


@pytest.mark.parametrize("kind", keys.KINDS)
def test_signing_twice_gives_the_same(kind: str) -> None:
    signer = Signer(key=keys.new_key(kind))
    statement = artifact.statement(DIGEST, artifact.SIGNATURE_PREDICATE, {})
    assert artifact.sign_statement(signer, statement) == artifact.sign_statement(signer, statement)
    assert artifact.sign_simple(signer, DIGEST, "x") == artifact.sign_simple(signer, DIGEST, "x")
