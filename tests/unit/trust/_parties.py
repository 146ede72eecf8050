# SPDX-License-Identifier: MIT
"""People and machines with keys and certificates, made with `cryptography` and not with what is under test."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from powernode.trust.der import encode

START = 1_800_000_000
"""When the signers' certificates begin; they last LIFE seconds."""

LIFE = 600
YEARS = 10 * 365 * 86400
ISSUER = "https://id.example.org"
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
SHA256 = bytes.fromhex("608648016503040201")
TST_INFO = bytes.fromhex("2a864886f70d0109100104")
STAMPING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def sign(key: PrivateKey, message: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    big = key.curve.name == "secp384r1"
    return key.sign(message, ec.ECDSA(hashes.SHA384() if big else hashes.SHA256()))


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(seconds: int) -> str:
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def usage(**allowed: bool) -> x509.KeyUsage:
    words = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{word: allowed.get(word, False) for word in (*words, *more)})


SIGNER_USAGE = usage(digital_signature=True)
CA_USAGE = usage(key_cert_sign=True, crl_sign=True)
Extensions = list[tuple[x509.ExtensionType, bool]]


def ca_extensions(path_length: int | None = None) -> Extensions:
    return [(x509.BasicConstraints(ca=True, path_length=path_length), True), (CA_USAGE, True)]


def issuer_extension(issuer: str) -> x509.UnrecognizedExtension:
    value = encode(12, issuer.encode())
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), value)


def signer_extensions(subject: str, issuer: str | None = ISSUER) -> Extensions:
    """As Fulcio's: a URI, or else a mail address."""
    general = x509.UniformResourceIdentifier(subject) if "://" in subject else x509.RFC822Name(subject)
    found: Extensions = [
        (SIGNER_USAGE, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        (x509.SubjectAlternativeName([general]), True),
    ]
    if issuer is not None:
        found.append((issuer_extension(issuer), False))
    return found


@dataclass(kw_only=True)
class Party:
    """Somebody with a key and a certificate."""

    key: PrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return der(self.certificate)

    @property
    def pem(self) -> str:
        return pem(self.certificate).decode()


_serial = iter(range(1000, 1 << 30))


def next_serial() -> int:
    return next(_serial)


def certify(
    subject: str,
    key: PrivateKey,
    extensions: Extensions,
    *,
    by: Party | None = None,
    start: int = START - YEARS,
    end: int = START + YEARS,
    serial: int | None = None,
    signing_key: PrivateKey | None = None,
) -> Party:
    """A certificate by `by`, or by itself."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(by.certificate.subject if by else name(subject))
        .public_key(key.public_key())
        .serial_number(next_serial() if serial is None else serial)
        .not_valid_before(moment(start))
        .not_valid_after(moment(end))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    signing = signing_key or (by.key if by else key)
    algorithm: hashes.SHA256 | hashes.SHA384 | None = hashes.SHA256()
    if isinstance(signing, ed25519.Ed25519PrivateKey):
        algorithm = None
    elif isinstance(signing, ec.EllipticCurvePrivateKey) and signing.curve.name == "secp384r1":
        algorithm = hashes.SHA384()
    return Party(key=key, certificate=builder.sign(signing, algorithm))


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def p384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())
