# SPDX-License-Identifier: MIT
"""sigstore's conformance suite: every bundle of it passes or fails as the suite says, and for the reason it names.

The bundles are another project's and not kept here. They are used where POWERNODE_SIGSTORE_CONFORMANCE names a checkout
of sigstore-conformance and POWERNODE_SIGSTORE_ROOT the trusted_root.json of sigstore's public instance (the Python
package `sigstore` brings one). What the checkout has beyond that is not for a verifier: see LEFT_OUT.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from powernode.base.errors import DataError
from powernode.trust.artifact import Found, Identity, Kind, Policy, Proof, verify, verify_statement
from powernode.trust.keys import load_public_keys
from powernode.trust.pattern import exact
from powernode.trust.root import read_trusted_root
from unit.trust._public import collection

SUBJECT = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon"
    "/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER = "https://token.actions.githubusercontent.com"
NOW = 1_795_000_000  # after everything in the suite

LEFT_OUT = {
    "test_simple, test_sign_*": "they sign with sigstore's services, which need a network and an account",
    "test_verify_cpython_release_bundles": "a collection of its own, which the suite downloads",
}

CODES = {  # without "trust.artifact."; the names are the suite's and say what is wrong
    "bundle-empty-certificate-chain_fail": "malformed",
    "bundle-from-wrong-instance_fail": "root",
    "bundle-invalid-base64-signature_fail": "malformed",
    "bundle-malformed-json_fail": "malformed",
    "bundle-negative-log-index_fail": "malformed",
    "bundle-unknown-version_fail": "malformed",
    "bundle-with-root-cert_fail": "malformed",
    "checkpoint-bad-keyhint_fail": "log",
    "checkpoint-wrong-roothash_fail": "log",
    "dsse-invalid-sig_fail": "key",
    "dsse-mismatch-envelope_fail": "log",
    "dsse-mismatch-sig_fail": "log",
    "inclusion-proof-corrupted-hash_fail": "log",
    "incorrect-public-key_fail": "log",
    "integrated-time-in-future_fail": "expired",
    "intoto-expired-certificate_fail": "root",  # the CA's own certificate is over as well
    "intoto-log-entry-mismatch_fail": "log",
    "intoto-missing-inclusion-proof_fail": "log",
    "intoto-set-outside-signing-cert-validity_fail": "expired",
    "intoto-tsa-timestamp-outside-cert-validity_fail": "expired",
    "invalid-checkpoint-signature_fail": "log",
    "invalid-ct-key_fail": "log",
    "invalid-inclusion-proof_fail": "log",
    "managed-key-no-key_fail": "key",
    "managed-key-wrong-key_fail": "trust.key",  # the point is not on the curve
    "message-digest-mismatch_fail": "digest",
    "rekor2-checkpoint-missing-log-signature_fail": "log",
    "rekor2-checkpoint-missing-origin_fail": "log",
    "rekor2-checkpoint-missing-root-hash_fail": "log",
    "rekor2-checkpoint-missing-size_fail": "log",
    "rekor2-checkpoint-no-matching-signature_fail": "log",
    "rekor2-dsse-invalid-sig_fail": "key",
    "rekor2-dsse-mismatch-envelope_fail": "log",
    "rekor2-dsse-mismatch-sig_fail": "log",
    "rekor2-no-inclusion-proof_fail": "log",
    "rekor2-no-timestamp_fail": "expired",
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail": "timestamp",
    "rekor2-timestamp-outside-tsa-cert-validity_fail": "timestamp",
    "rekor2-timestamp-payload-mismatch_fail": "timestamp",
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail": "timestamp",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": "timestamp",
    "rekor2-timestamp-with-incorrect-time_fail": "malformed",  # line breaks in the base64; see the test below
    "set-invalid-signature_fail": "log",
    "signature-mismatch_fail": "key",
    "trust-root-tlog-missing-validity-start_fail": "trust.root.missing",
    "wrong-hashedrekord-artifact_fail": "log",
    "wrong-hashedrekord-cert-and-sig_fail": "log",
    "wrong-hashedrekord-entry_fail": "log",
    "wrong-material_fail": "digest",
}


@pytest.fixture(scope="module")
def folder() -> Path:
    return collection("POWERNODE_SIGSTORE_CONFORMANCE", "sigstore-conformance", "test/assets/bundle-verify")


def public_root() -> Path:
    value = os.environ.get("POWERNODE_SIGSTORE_ROOT")
    if not value:
        pytest.skip("no trust root of sigstore's public instance: set POWERNODE_SIGSTORE_ROOT to its trusted_root.json")
    return Path(value)


def proven(case: Path, bundle: bytes) -> Proof:
    """What the suite asks its clients to do with a folder."""

    def text(name: str, default: str) -> str:
        return (case / name).read_text().strip() if (case / name).exists() else default

    own = case / "trusted_root.json"
    root = read_trusted_root((own if own.exists() else public_root()).read_bytes(), name="the suite's root")
    artifact = case / "artifact"
    content = (artifact if artifact.exists() else case.parent / "a.txt").read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    identity = Identity(subject=exact(text("identity", SUBJECT)), issuer=exact(text("issuer", ISSUER)))
    policy = Policy(identities=(identity,), roots=(root,))
    if (case / "key.pub").exists():
        policy = Policy(keys=tuple(load_public_keys((case / "key.pub").read_bytes())), roots=(root,), require_log=True)
    found = [Found(kind=Kind.BUNDLE, where=case.name, payload=bundle)]
    if b'"dsseEnvelope"' in bundle:
        payload = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
        return verify_statement(digest, found, policy, predicate_type=payload["predicateType"], now=NOW).proof
    return verify(digest, found, policy, now=NOW, content=content)


def verdict(case: Path, bundle: bytes | None = None) -> str:
    try:
        proven(case, (case / "bundle.sigstore.json").read_bytes() if bundle is None else bundle)
    except DataError as error:
        return error.code.removeprefix("trust.artifact.")
    return "good"


def test_every_bundle(folder: Path) -> None:
    print(*(f"left out: {name}: {reason}" for name, reason in LEFT_OUT.items()), sep="\n")
    cases = sorted(path for path in folder.iterdir() if path.is_dir())
    found = {case.name: verdict(case) for case in cases}
    expected = {name: CODES.get(name, "refused") if name.endswith("fail") else "good" for name in found}
    assert found == expected
    assert len(cases) >= 68


def test_the_time_that_is_wrong_and_nothing_else(folder: Path) -> None:
    case = folder / "rekor2-timestamp-with-incorrect-time_fail"
    document = json.loads((case / "bundle.sigstore.json").read_bytes())
    (stamp,) = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamp["signedTimestamp"] = stamp["signedTimestamp"].replace("\n", "")
    assert verdict(case, json.dumps(document).encode()) == "expired"
