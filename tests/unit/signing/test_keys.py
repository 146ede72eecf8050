# SPDX-License-Identifier: MIT
"""Keys that are made are keys that are believed; others do not sign."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.signing import cosignkey, keys


def pem_of(key: object, passphrase: bytes = b"") -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return pem


@pytest.mark.parametrize("kind", keys.KINDS)
def test_generate(kind: str) -> None:
    private, public = keys.generate(kind)
    assert private.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert public.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert keys.generate(kind)[0] != private
    loaded = keys.load(private)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    assert loaded.public_key().public_bytes(serialization.Encoding.PEM, form) == public
    assert len(keys.key_id(loaded)) == 64


@pytest.mark.parametrize("kind", keys.KINDS)
def test_encrypted_keys(kind: str) -> None:
    labels = {"pkcs8": b"ENCRYPTED PRIVATE KEY", "cosign": b"ENCRYPTED SIGSTORE PRIVATE KEY"}
    for form, label in labels.items():
        private, public = keys.generate(kind, form=form, passphrase=b"secret")
        assert private.startswith(b"-----BEGIN %b-----\n" % label)
        loaded = keys.load(private, b"secret").public_key()
        assert (keys.public_pem(loaded), keys.kind(loaded)) == (public, kind)
        with pytest.raises(OperatorError) as refusal:
            keys.load(private)
        assert refusal.value.code == "signing.key-encrypted"


def test_encrypted_keys_of_openssls_old_form() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"secret"),
    )
    assert b"Proc-Type: 4,ENCRYPTED" in pem
    assert keys.key_id(keys.load(pem, b"secret")) == keys.key_id(key)
    for passphrase, code in ((None, "signing.key-encrypted"), (b"wrong", "signing.passphrase")):
        with pytest.raises(OperatorError) as refusal:
            keys.load(pem, passphrase)
        assert refusal.value.code == code


def test_any_wrong_passphrase() -> None:
    """The cipher of PKCS #8 does not notice: one in 256 leaves something that looks like a key until it is read."""
    private, _ = keys.generate("ecdsa-p256", passphrase=b"secret")
    for number in range(600):
        with pytest.raises(OperatorError) as refusal:
            keys.load(private, b"%d" % number if number else b"")
        assert refusal.value.code == "signing.passphrase"


def test_a_passphrase_for_a_key_that_has_none() -> None:
    private, public = keys.generate("ed25519")
    assert keys.public_pem(keys.load(private, b"unused").public_key()) == public


def test_forms_and_passphrases_that_are_none() -> None:
    with pytest.raises(OperatorError) as refusal:
        keys.generate("ed25519", form="jwk")
    assert refusal.value.code == "signing.key-form"
    with pytest.raises(OperatorError) as refusal:
        keys.generate("ed25519", passphrase=b"")  # openssl has no such thing; cosign's format has
    assert refusal.value.code == "signing.passphrase"
    assert keys.load(keys.generate("ed25519", form="cosign")[0], b"")


def test_what_is_no_key_inside_cosigns_format() -> None:
    with pytest.raises(DataError) as refusal:
        keys.load(cosignkey.encrypt(b"no key", b""), b"")
    assert refusal.value.code == "signing.key"


def test_public_halves() -> None:
    private, public = keys.generate("ecdsa-p384")
    assert keys.key_id(keys.load_public(public)) == keys.key_id(keys.load(private))
    for pem in (b"", private):
        with pytest.raises(DataError) as refusal:
            keys.load_public(pem)
        assert refusal.value.code == "signing.key"
    weak = rsa.generate_private_key(65537, 1024).public_key()
    with pytest.raises(OperatorError) as unbelieved:
        keys.load_public(weak.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    assert unbelieved.value.code == "signing.key-kind"


def test_openssl_reads_ours() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program")
    for kind in keys.KINDS:
        private, public = keys.generate(kind)
        command = ["openssl", "pkey", "-pubout"]
        assert subprocess.run(command, input=private, capture_output=True, check=True).stdout == public


@pytest.mark.parametrize("kind", ["", "rsa-1024", "Ed25519", "dsa"])
def test_no_such_kind(kind: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        keys.generate(kind)
    assert refusal.value.code == "signing.key-kind"


@pytest.mark.parametrize(
    ("name", "pem", "error", "code"),
    [
        ("empty", b"", DataError, "signing.key"),
        ("public half", keys.generate("ed25519")[1], DataError, "signing.key"),
        (
            "encrypted",
            pem_of(ec.generate_private_key(ec.SECP256R1()), b"secret"),
            OperatorError,
            "signing.key-encrypted",
        ),
        ("P-521", pem_of(ec.generate_private_key(ec.SECP521R1())), OperatorError, "signing.key-kind"),
        ("Ed448", pem_of(ed448.Ed448PrivateKey.generate()), OperatorError, "signing.key-kind"),
        ("RSA of 1024 bits", pem_of(rsa.generate_private_key(65537, 1024)), OperatorError, "signing.key-kind"),
    ],
)
def test_keys_that_do_not_sign(name: str, pem: bytes, error: type[PowernodeError], code: str) -> None:
    with pytest.raises(error) as refusal:
        keys.load(pem)
    assert refusal.value.code == code, name
