# SPDX-License-Identifier: MIT
"""cosign's encrypted keys; tests/interop/test_cosign.py has the real cosign open them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.signing import cosignkey, keys

# Made by cosign 2.5.0 of Debian trixie: COSIGN_PASSWORD=hunter2 cosign generate-key-pair
THEIRS = b"""-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJERzBLdlVJcENldUdwUkZFR1hYaTNwbklkWWhKUWJu
dE9nTUkyY0JmUVQ4PSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJ4amlEZVNUdDZZazhpb1pyRzAvNFpMSTRsbzc2S3NBRiJ9LCJj
aXBoZXJ0ZXh0IjoiMUdEYVprOThEbjVpaTU4UWdEK1hqdGxYWEVYN21yeHBtZWNG
dGVLMlZnMmI3SnpWdW1XZkFnMjdsV2FRd0QwVG8rNldIVUdpUEZqekNnMkNIbGFr
ZXp6bDZYWFFFY0h6dmxLSWV6V3VTazdlYUJFbjFPbmpka3psZW1hdnhrUG1ZekpK
eDVVUWppczQ1SUNpTzM4ejAvaXUzc1dQdk5JcTJmWlBFZ2R1VVcvYk01d0V1WWhr
eE1CYTRvLzM3M2ZkcXN5TEVuU09INFlybkE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
THEIR_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESTSBijzt3uXC3qxfi6M1mKzAJpRb
Nb//Qyn5e+ouL6CJo0rEROCQ7e8wCkk3kNH/GBYur+MhdK3qJTSAr1XO6A==
-----END PUBLIC KEY-----
"""

DER = b"pretend that this is PKCS #8"
PEM = cosignkey.encrypt(DER, b"passphrase")


def body_of(pem: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(b64decode(b"".join(pem.splitlines()[1:-1])))
    return body


def changed(**members: Any) -> bytes:
    """PEM with members of its JSON replaced; `kdf__params__N=1` goes inside."""
    body = body_of(PEM)
    for path, value in members.items():
        *outer, name = path.split("__")
        target = body
        for step in outer:
            target = target[step]
        target[name] = value
    return wrapped(json.dumps(body).encode())


def wrapped(body: bytes, label: bytes = b"ENCRYPTED SIGSTORE PRIVATE KEY") -> bytes:
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, b64encode(body), label)


def test_a_key_of_the_real_cosign() -> None:
    assert keys.public_pem(keys.load(THEIRS, b"hunter2").public_key()) == THEIR_PUBLIC


def test_round_trip() -> None:
    assert cosignkey.decrypt(PEM, b"passphrase") == DER
    assert cosignkey.encrypt(DER, b"passphrase") != PEM  # salt and nonce are new
    assert cosignkey.is_ours(PEM)
    assert body_of(PEM)["kdf"]["params"] == {"N": 65536, "r": 8, "p": 1}
    assert max(map(len, PEM.splitlines())) <= 64


def test_the_older_label_and_the_empty_passphrase() -> None:
    pem = cosignkey.encrypt(DER, b"")
    older = pem.replace(b"SIGSTORE", b"COSIGN")
    assert older != pem
    assert cosignkey.is_ours(older)
    assert cosignkey.decrypt(older, b"") == DER


def test_a_wrong_passphrase_and_a_changed_byte() -> None:
    ciphertext = bytearray(b64decode(body_of(PEM)["ciphertext"]))
    ciphertext[-1] ^= 1
    damaged = changed(ciphertext=b64encode(ciphertext).decode())
    for pem, passphrase in ((PEM, b"Passphrase"), (PEM, b""), (damaged, b"passphrase")):
        with pytest.raises(OperatorError) as refusal:
            cosignkey.decrypt(pem, passphrase)
        assert refusal.value.code == "signing.passphrase"


@pytest.mark.parametrize(
    ("defect", "pem", "code"),
    [
        ("empty", b"", "signing.cosign-key"),
        ("not PEM", b"key", "signing.cosign-key"),
        ("another label", wrapped(b"{}", b"PRIVATE KEY"), "signing.cosign-key"),
        ("two labels", PEM.replace(b"END ENCRYPTED SIGSTORE", b"END ENCRYPTED COSIGN"), "signing.cosign-key"),
        ("two keys", PEM + PEM, "signing.cosign-key"),
        ("not base64", PEM.replace(b"\n", b"\n*", 1), "signing.cosign-key"),
        ("too long", PEM + b"\n" * cosignkey.MAX_BYTES, "signing.cosign-key"),
        ("not JSON", wrapped(b"{"), "json.syntax"),
        ("a cost of four gigabytes", changed(kdf__params__N=1 << 22), "signing.cosign-key"),
        ("a cost of nothing", changed(kdf__params__N=2), "signing.cosign-key"),
        ("a cost that is no power of two", changed(kdf__params__N=65535), "signing.cosign-key"),
        ("many lanes", changed(kdf__params__p=1 << 20), "signing.cosign-key"),
        ("large blocks", changed(kdf__params__r=1 << 20), "signing.cosign-key"),
        ("another derivation", changed(kdf__name="argon2id"), "signing.cosign-key"),
        ("another cipher", changed(cipher__name="aes-gcm"), "signing.cosign-key"),
        ("a short nonce", changed(cipher__nonce=b64encode(bytes(12)).decode()), "signing.cosign-key"),
        ("no salt", changed(kdf__salt=""), "signing.cosign-key"),
        ("no ciphertext", changed(ciphertext=""), "signing.cosign-key"),
        ("a member too many", changed(more=1), "signing.cosign-key.unknown-key"),
        ("a number for a nonce", changed(cipher__nonce=1), "signing.cosign-key.type"),
    ],
)
def test_files_that_are_broken(defect: str, pem: bytes, code: str) -> None:
    with pytest.raises(DataError) as refusal:
        cosignkey.decrypt(pem, b"passphrase")
    assert refusal.value.code == code, defect
