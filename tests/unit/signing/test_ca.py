# SPDX-License-Identifier: MIT
"""What the private authority issues, read by `cryptography` and by openssl, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from powernode.base.errors import DataError, OperatorError
from powernode.signing import authority, ca, certificates, keys
from powernode.signing.artifact import certificates_pem
from powernode.signing.issuers import Issuer
from powernode.trust.root import read_trusted_root
from powernode.trust.timestamp import verify as verify_timestamp
from unit.signing._authority import AUTHORITY, IDENTITY, ROOT_KEY, certified
from unit.signing._tokens import GITEA, NOW, SUBJECT

FULCIO = "1.3.6.1.4.1.57264.1"


def leaf_of(der: bytes | None) -> x509.Certificate:
    assert der is not None
    return x509.load_der_x509_certificate(der)


def test_the_certificate() -> None:
    signer = certified()
    leaf = leaf_of(signer.certificate)
    leaf.verify_directly_issued_by(AUTHORITY.intermediate)
    AUTHORITY.intermediate.verify_directly_issued_by(AUTHORITY.root)
    assert leaf.public_key() == signer.key.public_key()
    assert (leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()) == (NOW, NOW + 600)
    assert leaf.subject == x509.Name([])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert list(names.value) == [x509.UniformResourceIdentifier(SUBJECT)]
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CODE_SIGNING]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign


def test_fulcios_extensions() -> None:
    leaf = leaf_of(certified().certificate)
    found = {
        extension.oid.dotted_string.removeprefix(FULCIO + "."): extension.value.value
        for extension in leaf.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }
    assert found == {
        "1": GITEA.encode(),
        "2": b"push",
        "8": bytes([0x0C, len(GITEA)]) + GITEA.encode(),
        "14": b"\x0c\x0crefs/tags/v1",
    }


@pytest.mark.parametrize("size", [1, 127, 128, 255, 256, 2048])
def test_texts_of_every_length(size: int) -> None:
    leaf = leaf_of(certified(identity=replace(IDENTITY, extensions={9: "x" * size})).certificate)
    value = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier(f"{FULCIO}.9")).value
    assert isinstance(value, x509.UnrecognizedExtension)
    header = {1: b"\x0c\x01", 127: b"\x0c\x7f", 128: b"\x0c\x81\x80", 255: b"\x0c\x81\xff"}
    assert value.value == header.get(size, b"\x0c\x82" + size.to_bytes(2)) + b"x" * size


def test_a_mail_address() -> None:
    signer = certified(identity=replace(IDENTITY, subject="me@example.org", is_email=True))
    names = leaf_of(signer.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.RFC822Name("me@example.org")]


def test_openssl_accepts_the_chain(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program")
    signer = certified()
    assert signer.certificate is not None
    for name, chain in (("leaf", (signer.certificate,)), ("between", signer.chain[:1]), ("root", signer.chain[1:])):
        (tmp_path / name).write_bytes(certificates_pem(chain))
    command = ["openssl", "verify", "-x509_strict", "-CAfile", "root", "-untrusted", "between"]
    for at, expected in ((NOW + 1, 0), (NOW + 601, 2)):
        done = subprocess.run(
            [*command, "-attime", str(at), "leaf"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == expected, done.stderr
    assert "certificate has expired" in done.stderr


@pytest.mark.parametrize("kind", keys.KINDS)
def test_possession_must_be_proven(kind: str) -> None:
    key = keys.new_key(kind)
    proof = ca.prove(key, IDENTITY.challenge)
    assert ca.issue(AUTHORITY, key.public_key(), proof, IDENTITY, now=NOW)
    others = {
        "another challenge": (ca.prove(key, "repo:acme/other"), key),
        "nothing": (b"", key),
        "another key": (proof, keys.new_key("ed25519")),
    }
    for defect, (wrong, asking) in others.items():
        with pytest.raises(DataError) as refusal:
            ca.issue(AUTHORITY, asking.public_key(), wrong, IDENTITY, now=NOW)
        assert refusal.value.code == "signing.ca.possession", defect


@pytest.mark.parametrize("at", [NOW - 1, NOW + 3 * 365 * 86400 - 599])
def test_nothing_outlives_its_issuer(at: int) -> None:
    with pytest.raises(OperatorError) as refusal:
        certified(now=at)
    assert refusal.value.code == "signing.ca.expired"


@pytest.mark.parametrize("name", ["", "x" * 49, "two\nlines"])
def test_names_of_authorities(name: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        ca.new(name, now=NOW)
    assert refusal.value.code == "signing.ca.name"


class TestFolder:
    def write(self, folder: Path, changes: dict[str, bytes] | None = None) -> None:
        issuers = [Issuer.of(GITEA, "gitea")]
        for name, content in authority.files(AUTHORITY, ROOT_KEY, issuers, passphrase=b"x").items():
            (folder / name).write_bytes((changes or {}).get(name.partition(".")[0], content.data))

    def test_round_trip(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        loaded, issuers = authority.load(tmp_path)
        assert (loaded.chain, issuers) == (AUTHORITY.chain, (Issuer.of(GITEA, "gitea"),))
        assert keys.key_id(loaded.key) == keys.key_id(AUTHORITY.key)
        assert keys.key_id(keys.load((tmp_path / "root.key").read_bytes(), b"x")) == keys.key_id(ROOT_KEY)
        secret = {name for name, content in authority.files(AUTHORITY, ROOT_KEY, []).items() if content.is_secret}
        assert secret == {"root.key", "intermediate.key", "timestamp.key"}

    def test_what_does_not_belong_together(self, tmp_path: Path) -> None:
        other, _ = ca.new("Example", now=NOW)  # of the same name
        wrong = {
            "another key": {"intermediate": keys.private_pem(other.key)},
            "a key of another kind": {"intermediate": keys.generate("ed25519")[0]},
            "one certificate": {"chain": certificates_pem(AUTHORITY.chain[:1])},
            "no certificate": {"chain": b""},
            "another root": {"chain": certificates_pem([AUTHORITY.chain[0], other.chain[1]])},
            "the wrong order": {"chain": certificates_pem(AUTHORITY.chain[::-1])},
            "another timestamp key": {"timestamp": keys.private_pem(other.stamper.key)},
            "the same key for both": {"timestamp-chain": certificates_pem(AUTHORITY.chain)},
            "two roots": {
                "timestamp": keys.private_pem(other.stamper.key),
                "timestamp-chain": certificates_pem([other.stamper.certificate, other.chain[1]]),
            },
        }
        for defect, changes in wrong.items():
            self.write(tmp_path, changes)
            with pytest.raises(DataError) as refusal:
                authority.load(tmp_path)
            assert refusal.value.code == "signing.ca.folder", defect

    def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError) as refusal:
            authority.load(tmp_path)
        assert refusal.value.code == "signing.ca.folder"


class TestTimestamps:
    def test_openssl_and_trust_believe_them(self, tmp_path: Path) -> None:
        answer = AUTHORITY.stamper.stamp(b"signature", now=NOW + 5)
        root = read_trusted_root(authority.trusted_root(AUTHORITY), name="ours")
        assert verify_timestamp(answer, b"signature", root.timestamp_authorities) == NOW + 5
        if shutil.which("openssl") is None:
            pytest.skip("no openssl program")
        (tmp_path / "answer").write_bytes(answer)
        (tmp_path / "signature").write_bytes(b"signature")
        (tmp_path / "root").write_bytes(certificates_pem(AUTHORITY.chain[1:]))
        command = ["openssl", "ts", "-verify", "-in", "answer", "-data", "signature", "-CAfile", "root"]
        command += ["-attime", str(NOW + 10)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "Verification: OK" in done.stdout + done.stderr) == (0, True), done.stderr
        (tmp_path / "signature").write_bytes(b"another")
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0

    def test_what_they_are_not_for(self) -> None:
        root = read_trusted_root(authority.trusted_root(AUTHORITY), name="ours").timestamp_authorities
        other = ca.new("Example", now=NOW)[0].stamper
        for answer, signature in (
            (other.stamp(b"signature", now=NOW), b"signature"),
            (AUTHORITY.stamper.stamp(b"signature", now=NOW), b"another"),
        ):
            with pytest.raises(DataError) as refusal:
                verify_timestamp(answer, signature, root)
            assert refusal.value.code.startswith("trust.timestamp")

    @pytest.mark.parametrize("at", [NOW - 1, NOW + 3 * 365 * 86400 + 1])
    def test_at_times_of_others(self, at: int) -> None:
        with pytest.raises(OperatorError) as refusal:
            AUTHORITY.stamper.stamp(b"", now=at)
        assert refusal.value.code == "signing.ca.expired"


def test_what_people_are_told() -> None:
    signer = certified()
    assert signer.certificate is not None
    leaf, between, root = certificates.describe(certificates_pem((signer.certificate, *signer.chain)))
    assert (leaf.subject, leaf.kind, leaf.is_authority) == (SUBJECT, "ecdsa-p256", False)
    assert leaf.key_id == keys.key_id(signer.key)
    assert (between.subject, between.is_authority) == ("CN=Example signing,O=Example", True)
    assert leaf.issuer == between.subject
    assert root.not_after > between.not_after
    for broken in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(DataError) as refusal:
            certificates.describe(broken)
        assert refusal.value.code == "signing.certificate"
