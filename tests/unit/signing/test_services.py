# SPDX-License-Identifier: MIT
"""What is sent to authorities, logs and timestamp services, and which of their answers are taken."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from powernode.base.errors import DataError, InternalError
from powernode.signing import artifact, fulcio, keys, rekor, timestamp
from powernode.signing.artifact import Signer, certificates_pem
from unit.signing._authority import certified
from unit.signing._tokens import CLAIMS, TokenIssuer

DIGEST = "sha256:" + "cd" * 32
SIMPLE = artifact.sign_simple(Signer(key=keys.new_key("ecdsa-p256")), DIGEST, "x")
ATTESTED = artifact.sign_statement(certified(), artifact.statement(DIGEST, "https://slsa.dev/provenance/v1", {}))
NONCE = bytes(range(8))


class TestFulcio:
    KEY = ec.generate_private_key(ec.SECP256R1())
    TOKEN = TokenIssuer().token() + b"\n"  # files end with a line break

    def test_the_question(self) -> None:
        asked = json.loads(fulcio.request(self.TOKEN, self.KEY))
        assert asked["credentials"] == {"oidcIdentityToken": self.TOKEN.decode().strip()}
        public = asked["publicKeyRequest"]["publicKey"]
        assert public == {"algorithm": "ECDSA", "content": keys.public_pem(self.KEY.public_key()).decode()}
        proof = b64decode(asked["publicKeyRequest"]["proofOfPossession"])
        keys.check(self.KEY.public_key(), str(CLAIMS["sub"]).encode(), proof)

    @pytest.mark.parametrize("form", ["signedCertificateEmbeddedSct", "signedCertificateDetachedSct"])
    def test_the_answer(self, form: str) -> None:
        signer = certified()
        assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
        assert signer.certificate is not None
        chain = [certificates_pem([each]).decode() for each in (signer.certificate, *signer.chain)]
        answer = json.dumps({form: {"chain": {"certificates": chain}, "signedCertificateTimestamp": ""}}).encode()
        assert fulcio.read_answer(answer, signer.key) == (signer.certificate, signer.chain)
        with pytest.raises(DataError) as refusal:
            fulcio.read_answer(answer, self.KEY)
        assert refusal.value.code == "signing.fulcio.other-key"

    @pytest.mark.parametrize(
        ("defect", "answer", "code"),
        [
            ("nothing", b"", "json.syntax"),
            ("too much", b" " * (fulcio.MAX_ANSWER + 1), "json.size"),
            ("an empty object", b"{}", "signing.fulcio.missing"),
            (
                "no certificate",
                b'{"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}',
                "signing.fulcio.other-key",
            ),
            (
                "words for a certificate",
                b'{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}}}',
                "signing.fulcio.certificate",
            ),
        ],
    )
    def test_answers_that_are_not_taken(self, defect: str, answer: bytes, code: str) -> None:
        with pytest.raises(DataError) as refusal:
            fulcio.read_answer(answer, self.KEY)
        assert refusal.value.code == code, defect

    @pytest.mark.parametrize(
        ("defect", "old", "new"),
        [
            ("a key on a curve that nobody knows", "06082a8648ce3d030107", "06082a8648ce3d030177"),
            ("a key of an algorithm that nobody knows", "06072a8648ce3d0201", "06072a8648ce3d0271"),
            ("a point that is on no curve", "03420004", "03420005"),
        ],
    )
    def test_certificates_with_keys_that_are_none(self, defect: str, old: str, new: str) -> None:
        der = certified().certificate
        assert der is not None
        assert der.count(bytes.fromhex(old)) == 1
        text = b64encode(der.replace(bytes.fromhex(old), bytes.fromhex(new))).decode()
        pem = f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"
        answer = json.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": [pem]}}}).encode()
        with pytest.raises(DataError) as refusal:
            fulcio.read_answer(answer, self.KEY)
        assert refusal.value.code == "signing.fulcio.certificate", defect


def logged(signed: artifact.Signed, **changes: Any) -> dict[str, Any]:
    """What Rekor makes of a proposed entry, as far as its clients look."""
    asked = json.loads(rekor.request(signed))
    if asked["kind"] == "dsse":
        verifier = asked["spec"]["proposedContent"]["verifiers"][0]
        signature = {"signature": b64encode(signed.signature).decode(), "verifier": verifier}
        asked["spec"] = {"envelopeHash": {"algorithm": "sha256", "value": "00"}, "signatures": [signature]}
    proof = {"checkpoint": "rekor\n3\n", "hashes": ["02" * 32], "logIndex": 2, "rootHash": "01" * 32, "treeSize": 3}
    return {
        "body": b64encode(json.dumps(asked).encode()).decode(),
        "integratedTime": 1_800_000_000,
        "logID": "ab" * 32,
        "logIndex": 1002,
        "verification": {"inclusionProof": proof, "signedEntryTimestamp": b64encode(b"promise").decode()},
        **changes,
    }


def answered(entry: dict[str, Any]) -> bytes:
    return json.dumps({"108e9186": entry}).encode()


class TestRekor:
    def test_a_question_about_a_simple_signature(self) -> None:
        assert json.loads(rekor.request(SIMPLE)) == {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": sha256(SIMPLE.content).hexdigest()}},
                "signature": {
                    "content": b64encode(SIMPLE.signature).decode(),
                    "publicKey": {"content": b64encode(SIMPLE.signer.verifier_pem).decode()},
                },
            },
        }
        assert SIMPLE.signer.verifier_pem.startswith(b"-----BEGIN PUBLIC KEY-----")

    def test_a_question_about_an_attestation(self) -> None:
        asked = json.loads(rekor.request(ATTESTED))
        assert asked["kind"] == "dsse"
        assert asked["spec"]["proposedContent"]["envelope"].encode() == ATTESTED.content
        (verifier,) = asked["spec"]["proposedContent"]["verifiers"]
        assert b64decode(verifier).startswith(b"-----BEGIN CERTIFICATE-----")

    @pytest.mark.parametrize("signed", [SIMPLE, ATTESTED], ids=["simple", "attestation"])
    def test_the_answer(self, signed: artifact.Signed) -> None:
        entry = rekor.read_entry(answered(logged(signed)), signed)
        assert (entry.kind, entry.version) == ("dsse" if signed.is_envelope else "hashedrekord", "0.0.1")
        assert (entry.index, entry.inclusion.index, entry.inclusion.tree_size) == (1002, 2, 3)
        assert (entry.log_id, entry.promise) == (b"\xab" * 32, b"promise")
        assert entry.inclusion.hashes == (b"\2" * 32,)

    @pytest.mark.parametrize(
        ("defect", "changes", "code"),
        [
            ("about another signature", {"body": logged(ATTESTED)["body"]}, "signing.rekor.other-entry"),
            ("a body that is no base64", {"body": "*"}, "signing.rekor.answer"),
            ("a body that is no JSON", {"body": b64encode(b"x").decode()}, "json.syntax"),
            ("a log without a name", {"logID": "xy"}, "signing.rekor.answer"),
            ("a log's name with a space", {"logID": "ab cd"}, "signing.rekor.answer"),
            ("no proof", {"verification": {"signedEntryTimestamp": ""}}, "signing.rekor.missing"),
            ("a time before all time", {"integratedTime": -1}, "signing.rekor.value"),
        ],
    )
    def test_answers_that_are_not_taken(self, defect: str, changes: dict[str, Any], code: str) -> None:
        with pytest.raises(DataError) as refusal:
            rekor.read_entry(answered(logged(SIMPLE, **changes)), SIMPLE)
        assert refusal.value.code == code, defect

    @pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"a":{},"b":{}}'])
    def test_answers_about_nothing_or_too_much(self, answer: bytes) -> None:
        with pytest.raises(DataError) as refusal:
            rekor.read_entry(answer, SIMPLE)
        assert refusal.value.code == "signing.rekor.answer"


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """openssl's timestamp authority answers our question."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program")
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "question").write_bytes(timestamp.request(b"signature", NONCE))
    return stamped(folder)


class TestTimestamp:
    def test_openssl_reads_the_question(self, tmp_path: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl program")
        (tmp_path / "question").write_bytes(timestamp.request(b"signature", NONCE))
        command = ["openssl", "ts", "-query", "-in", "question", "-text"]
        text = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert "Hash Algorithm: sha256" in text
        assert "Certificate required: yes" in text
        assert "Nonce: 0x4001020304050607" in text
        assert sha256(b"signature").hexdigest()[:16] in text.replace(" ", "").replace("-", "")

    def test_the_answer(self, answer: bytes) -> None:
        timestamp.require_answer(answer, b"signature", NONCE)

    def test_answers_that_are_not_taken(self, answer: bytes) -> None:
        wrong = {
            "about another signature": (answer, b"other", NONCE),
            "with another nonce": (answer, b"signature", bytes(8)),
            "refused": (b"\x30\x05\x30\x03\x02\x01\x02", b"signature", NONCE),
            "nothing": (b"", b"signature", NONCE),
            "words": (b"no such service", b"signature", NONCE),
            "an end after the status's tag": (b"\x30\x04\x30\x02\x02\x01", b"signature", NONCE),
            "a status of two bytes": (b"\x30\x06\x30\x04\x02\x02\x01\x00", b"signature", NONCE),
            "a length of many bytes": (b"\x30\xff\x30\x03\x02\x01\x00", b"signature", NONCE),
            "too long": (answer + bytes(timestamp.MAX_ANSWER), b"signature", NONCE),
        }
        for defect, (data, signature, nonce) in wrong.items():
            with pytest.raises(DataError) as refusal:
                timestamp.require_answer(data, signature, nonce)
            assert refusal.value.code == "signing.timestamp", defect

    def test_a_nonce_has_eight_bytes(self) -> None:
        with pytest.raises(InternalError):
            timestamp.request(b"", b"short")


def stamped(folder: Path) -> bytes:
    """Let openssl answer the question in `folder`."""
    (folder / "serial").write_text("01\n")
    (folder / "conf").write_text(
        "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_digest=sha256\ndefault_policy=1.2.3.4\ndigests=sha256\n"
        "accuracy=secs:1\n[req]\ndistinguished_name=dn\n[dn]\n[ext]\nextendedKeyUsage=critical,timeStamping\n"
    )
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out certificate"
    make += " -days 2 -subj /CN=tsa -config conf -extensions ext"
    reply = "openssl ts -reply -config conf -queryfile question -signer certificate -inkey key -out answer"
    for command in (make, reply):
        subprocess.run(command.split(), cwd=folder, capture_output=True, check=True)
    return (folder / "answer").read_bytes()
