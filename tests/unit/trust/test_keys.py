# SPDX-License-Identifier: MIT
"""A file of public keys is read whole or refused."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization

from powernode.base.errors import DataError
from powernode.trust.keys import MAX_KEYS, KeyKind, load_public_keys
from unit.trust.conftest import KeyPair

KINDS = {
    "ed25519": (KeyKind.ED25519, 256),
    "ecdsa-p256": (KeyKind.ECDSA_P256, 256),
    "ecdsa-p384": (KeyKind.ECDSA_P384, 384),
    "rsa": (KeyKind.RSA, 3072),
}
pytestmark = pytest.mark.usefixtures("door")


def test_every_kind_in_one_file(pairs: dict[str, KeyPair]) -> None:
    pem = b"# the fleet\n\n" + b"\n# next\n".join(pairs[kind].public for kind in KINDS)
    keys = load_public_keys(pem)
    assert [(key.kind, key.bits) for key in keys] == list(KINDS.values())
    for key, kind in zip(keys, KINDS, strict=True):
        public = serialization.load_pem_public_key(pairs[kind].public)
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert key.spki == der
        assert key.key_id == hashlib.sha256(der).hexdigest()


def test_no_keys_and_the_same_key_twice(pairs: dict[str, KeyPair]) -> None:
    assert load_public_keys(b"") == []
    assert load_public_keys(b"# none yet\n") == []
    assert len(load_public_keys(pairs["ed25519"].public * 2)) == 1


def test_line_ends_of_other_systems(pairs: dict[str, KeyPair]) -> None:
    assert len(load_public_keys(pairs["rsa"].public.replace(b"\n", b"\r\n"))) == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("text between the keys", b"-----BEGIN", b"my key:\n-----BEGIN", "trust.keys.pem"),
        ("damaged begin", b"-----BEGIN PUBLIC", b"----BEGIN PUBLIC", "trust.keys.pem"),
        ("damaged end", b"-----END PUBLIC KEY-----", b"-----END PUBLIC KEY----", "trust.keys.pem"),
        ("a certificate", b"PUBLIC KEY", b"CERTIFICATE", "trust.keys.label"),
        ("old rsa form", b"PUBLIC KEY", b"RSA PUBLIC KEY", "trust.keys.label"),
        ("no base64", b"MCow", b"M*ow", "trust.keys.pem"),
        ("a letter less", b"MCow", b"MCo", "trust.keys.pem"),
        ("padding inside", b"MCow", b"MC==", "trust.keys.pem"),
        ("another key type inside", b"MCow", b"MCov", "trust.key"),
        ("not ascii", b"-----BEGIN", "é\n-----BEGIN".encode(), "trust.keys.pem"),
        ("empty block", b"MCow", b"", "trust.key"),
        ("too long", b"-----BEGIN", b"\n" * 65536 + b"-----BEGIN", "trust.keys.size"),
    ],
)
def test_refused(pairs: dict[str, KeyPair], name: str, old: bytes, new: bytes, code: str) -> None:
    good = pairs["ed25519"].public
    assert old in good
    bad = good.replace(old, new)
    if name == "empty block":
        bad = b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"
    with pytest.raises(DataError) as refusal:
        load_public_keys(pairs["rsa"].public + bad)
    assert refusal.value.code == code, name


def test_a_private_key_is_refused_by_name(pairs: dict[str, KeyPair]) -> None:
    with pytest.raises(DataError) as refusal:
        load_public_keys(pairs["ed25519"].private)
    assert (refusal.value.code, refusal.value.found) == ("trust.keys.label", "PRIVATE KEY")


def test_too_many_keys() -> None:
    from powernode.signing.keys import generate

    with pytest.raises(DataError) as refusal:
        load_public_keys(b"".join(generate("ed25519")[1] for _ in range(MAX_KEYS + 1)))
    assert refusal.value.code == "trust.keys.count"
