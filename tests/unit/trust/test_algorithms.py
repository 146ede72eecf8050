# SPDX-License-Identifier: MIT
"""The key decides with what its signatures are checked; a name can only choose among that."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from powernode.base.errors import DataError
from powernode.trust.algorithms import algorithm_of, hash_of, is_by
from powernode.trust.der import NULL, OBJECT, SEQUENCE, Reader, encode
from powernode.trust.signature import Algorithm, KeyKind
from unit.trust._cases import public
from unit.trust._parties import p256, p384, sign

P256, P384, ED25519, RSA = KeyKind.ECDSA_P256, KeyKind.ECDSA_P384, KeyKind.ED25519, KeyKind.RSA
ECDSA_SHA256, ECDSA_SHA384, EDWARDS = "2a8648ce3d040302", "2a8648ce3d040303", "2b6570"
RSA_ENCRYPTION, RSA_SHA1, RSA_PSS, RSA_SHA256 = (f"2a864886f70d0101{last}" for last in ("01", "05", "0a", "0b"))
NONE = encode(NULL, b"")


def identifier(oid: str, parameters: bytes = b"") -> bytes:
    return encode(SEQUENCE, encode(OBJECT, bytes.fromhex(oid)) + parameters)


def named(data: bytes, kind: KeyKind, digest: str | None = None) -> str:
    try:
        return algorithm_of(data, kind, digest=digest).name
    except DataError as error:
        return error.code


@pytest.mark.parametrize(
    ("oid", "parameters", "kind", "digest", "expected"),
    [
        (ECDSA_SHA256, b"", P256, None, "ECDSA_P256_SHA256"),
        (ECDSA_SHA256, b"", P384, None, "ECDSA_P384_SHA256"),
        (ECDSA_SHA384, b"", P256, None, "ECDSA_P256_SHA384"),
        (ECDSA_SHA384, b"", P384, "sha384", "ECDSA_P384_SHA384"),
        (EDWARDS, b"", ED25519, None, "ED25519"),
        (EDWARDS, b"", ED25519, "sha512", "ED25519"),
        (RSA_SHA256, NONE, RSA, None, "RSA_PKCS1_SHA256"),
        (RSA_SHA256, b"", RSA, None, "RSA_PKCS1_SHA256"),
        (RSA_ENCRYPTION, NONE, RSA, "sha512", "RSA_PKCS1_SHA512"),
        (ECDSA_SHA256, NONE, P256, None, "trust.algorithm"),
        (EDWARDS, NONE, ED25519, None, "trust.algorithm"),
        (RSA_SHA256, encode(SEQUENCE, b""), RSA, None, "trust.algorithm"),
        (RSA_PSS, b"", RSA, None, "trust.algorithm"),
        (RSA_PSS, NONE, RSA, None, "trust.algorithm"),
        (RSA_PSS, encode(SEQUENCE, b""), RSA, None, "trust.algorithm"),
        (RSA_SHA1, NONE, RSA, None, "trust.algorithm"),
        (RSA_ENCRYPTION, NONE, RSA, None, "trust.algorithm"),
        (RSA_ENCRYPTION, NONE, P256, "sha256", "trust.algorithm"),
        (RSA_SHA256, NONE, P256, None, "trust.algorithm"),
        (ECDSA_SHA256, b"", RSA, None, "trust.algorithm"),
        (ECDSA_SHA256, b"", ED25519, None, "trust.algorithm"),
        (EDWARDS, b"", P256, None, "trust.algorithm"),
        (ECDSA_SHA256, b"", P256, "sha384", "trust.algorithm"),
        (RSA_SHA256, NONE, RSA, "sha512", "trust.algorithm"),
        (ECDSA_SHA256, b"\5\0\5\0", P256, None, "trust.der"),
    ],
)
def test_names(oid: str, parameters: bytes, kind: KeyKind, digest: str | None, expected: str) -> None:
    assert named(identifier(oid, parameters), kind, digest) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (identifier("608648016503040201"), "sha256"),
        (identifier("608648016503040202", NONE), "sha384"),
        (identifier("2b0e03021a", NONE), "trust.algorithm"),
        (identifier("608648016503040201", encode(SEQUENCE, b"")), "trust.der"),
    ],
    ids=["SHA-256", "SHA-384", "SHA-1", "parameters"],
)
def test_hashes(data: bytes, expected: str) -> None:
    try:
        found = hash_of(Reader(data, "it"))
    except DataError as error:
        found = error.code
    assert found == expected


def test_every_algorithm_has_a_name() -> None:
    """PSS has its own parameters: test_x509 makes certificates with it."""
    names = {
        named(identifier(oid, NONE if kind is RSA else b""), kind)
        for oid in (ECDSA_SHA256, ECDSA_SHA384, EDWARDS, *(f"2a864886f70d0101{last}" for last in ("0b", "0c", "0d")))
        for kind in KeyKind
    }
    assert names - {"trust.algorithm"} == {item.name for item in Algorithm} - {"RSA_PSS_SHA256"}


def test_usual_ones() -> None:
    """Where nothing names the algorithm, a P-384 key may have used either hash; no other key has a choice."""
    small, big = p256(), p384()
    assert is_by(public(small), b"x", sign(small, b"x"))
    assert not is_by(public(small), b"x", small.sign(b"x", ec.ECDSA(hashes.SHA384())))
    assert is_by(public(big), b"x", sign(big, b"x"))
    assert is_by(public(big), b"x", big.sign(b"x", ec.ECDSA(hashes.SHA256())))
    assert not is_by(public(big), b"x", big.sign(b"x", ec.ECDSA(hashes.SHA512())))
    assert not is_by(public(big), b"y", sign(big, b"x"))
