# SPDX-License-Identifier: MIT
"""Keys that are made are keys that are believed; others do not sign."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.signing import keys


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
