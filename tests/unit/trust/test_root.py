# SPDX-License-Identifier: MIT
"""Trust roots are read whole or refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from powernode.base.errors import DataError
from powernode.trust.keys import KeyKind
from powernode.trust.root import private_root, read_trusted_root
from unit.trust._parties import START, YEARS, b64, ca_extensions, certify, compact, p256, signer_extensions, spki
from unit.trust._world import World

Document = dict[str, Any]


def test_what_is_read(world: World) -> None:
    root = world.trust_root()
    assert root.name == "the world"
    assert [log.origin for log in root.logs] == ["rekor.example.org", "log2026.rekor.example.org"]
    assert [log.key.kind for log in root.logs] == [KeyKind.ECDSA_P256, KeyKind.ED25519]
    assert root.certificate_logs[0].log_id == world.certificate_log.log_id
    assert [certificate.der for certificate in root.authorities[0].roots] == [world.root.der]
    assert [certificate.der for certificate in root.authorities[0].between] == [world.between.der]
    assert root.timestamp_authorities[0].start == START - YEARS
    assert root.timestamp_authorities[0].is_valid(1 << 40)


def test_only_authorities(world: World) -> None:
    document = world.trusted_root()
    for name in ("tlogs", "ctlogs", "timestampAuthorities"):
        del document[name]
    root = read_trusted_root(compact({**document, "tlogs": None}), name="x")
    assert (root.logs, root.certificate_logs, root.timestamp_authorities) == ((), (), ())


def test_bare_rsa_key(world: World) -> None:
    """An old certificate log of sigstore's has its key in the form of PKCS #1."""
    key = rsa.generate_private_key(65537, 2048)
    raw = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    logs = copy.deepcopy(world.trusted_root()["ctlogs"])
    logs[0]["publicKey"].update(rawBytes=b64(raw), keyDetails="PKCS1_RSA_PKCS1V5")
    assert world.trust_root(ctlogs=logs).certificate_logs[0].key.spki == spki(key)


def test_end_of_a_fraction_of_a_second(world: World) -> None:
    logs = copy.deepcopy(world.trusted_root()["tlogs"])
    logs[0]["publicKey"]["validFor"]["end"] = "2022-10-31T23:59:59.999Z"
    assert world.trust_root(tlogs=logs).logs[0].end == 1667260799


def put(*steps: str | int, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        inside: Any = document
        for step in steps[:-1]:
            inside = inside[step]
        inside[steps[-1]] = value

    return change


CERTIFICATES = ("certificateAuthorities", 0, "certChain", "certificates")


@pytest.mark.parametrize(
    ("defect", "change", "code"),
    [
        ("another type", put("mediaType", value="application/json"), "trust.root.type"),
        ("no type", put("mediaType", value=None), "trust.root.type"),
        ("list instead of an object", put("tlogs", 0, value=[]), "trust.root.type"),
        ("no beginning", put("tlogs", 0, "publicKey", "validFor", value={}), "trust.root.missing"),
        ("no validity", put("certificateAuthorities", 0, "validFor", value=None), "trust.root.type"),
        ("no date", put("ctlogs", 0, "publicKey", "validFor", "start", value="2026"), "trust.root.value"),
        (
            "local time",
            put("ctlogs", 0, "publicKey", "validFor", "start", value="2026-01-01T00:00:00+01:00"),
            "trust.root.value",
        ),
        (
            "no day",
            put("ctlogs", 0, "publicKey", "validFor", "start", value="2026-02-30T00:00:00Z"),
            "trust.root.value",
        ),
        (
            "no fraction",
            put("ctlogs", 0, "publicKey", "validFor", "start", value="2026-02-01T00:00:00.xZ"),
            "trust.root.value",
        ),
        ("another hash", put("tlogs", 0, "hashAlgorithm", value="SHA1"), "trust.root.value"),
        ("no key", put("tlogs", 0, "publicKey", "rawBytes", value=b64(b"x")), "trust.key"),
        ("no base64", put("tlogs", 0, "publicKey", "rawBytes", value="?"), "trust.root.base64"),
        ("short id", put("tlogs", 0, "logId", "keyId", value=b64(b"x")), "trust.root.value"),
        ("no address", put("tlogs", 0, "baseUrl", value="rekor.example.org"), "trust.root.value"),
        ("empty chain", put(*CERTIFICATES, value=[]), "trust.root.value"),
        ("no certificate", put(*CERTIFICATES, 0, "rawBytes", value=b64(b"x")), "trust.der"),
        ("too many", put("tlogs", value=[{}] * 33), "trust.root.value"),
        ("member of a member", put("certificateAuthorities", 0, "certChain", value="x"), "trust.root.type"),
    ],
)
def test_refused(world: World, defect: str, change: Callable[[Document], None], code: str) -> None:
    document = copy.deepcopy(world.trusted_root())
    change(document)
    with pytest.raises(DataError) as refusal:
        read_trusted_root(compact(document), name="x")
    assert refusal.value.code == code, defect


def test_key_of_a_curve_we_do_not_use(world: World) -> None:
    document = copy.deepcopy(world.trusted_root())
    document["tlogs"][0]["publicKey"]["rawBytes"] = b64(spki(ec.generate_private_key(ec.SECP521R1())))
    with pytest.raises(DataError) as refusal:
        read_trusted_root(compact(document), name="x")
    assert refusal.value.code == "trust.key"


def test_private_root(world: World) -> None:
    root = private_root((world.between.pem + world.root.pem).encode(), name="acme")
    assert (root.name, root.logs) == ("acme", ())
    assert [certificate.der for certificate in root.authorities[0].roots] == [world.root.der]
    assert [certificate.der for certificate in root.authorities[0].between] == [world.between.der]


def test_private_root_that_is_none(world: World) -> None:
    itself = certify("x", p256(), signer_extensions("me@example.org"))
    ca = certify("y", p256(), ca_extensions())
    for pem, code in (
        (world.between.pem, "trust.root.no-root"),
        ("", "trust.root.no-root"),
        (ca.pem + itself.pem, "trust.root.no-authority"),
        ("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "trust.x509.label"),
    ):
        with pytest.raises(DataError) as refusal:
            private_root(pem.encode(), name="acme")
        assert refusal.value.code == code
