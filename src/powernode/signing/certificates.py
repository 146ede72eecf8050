# SPDX-License-Identifier: MIT
"""What certificates say, for people; deciding whether to believe them is `trust.x509`'s.

[item.subject for item in describe(pem)]
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509

from powernode.base.errors import DataError
from powernode.signing import keys

__all__ = ["Description", "describe", "describe_der"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    subject: str
    """The names a signer has, else the distinguished name."""

    issuer: str
    is_authority: bool
    kind: str
    key_id: str
    public_pem: bytes
    not_before: datetime.datetime
    not_after: datetime.datetime


def describe(pem: bytes) -> list[Description]:
    """Every certificate of a PEM file, in its order; code signing.certificate."""
    try:
        return [_describe(certificate) for certificate in x509.load_pem_x509_certificates(pem)]
    except ValueError as error:
        raise DataError("signing.certificate", "this is no certificate", expected="PEM", found=str(error)) from error


def describe_der(der: bytes) -> Description:
    """A single one."""
    try:
        return _describe(x509.load_der_x509_certificate(der))
    except ValueError as error:
        raise DataError("signing.certificate", "this is no certificate", expected="DER", found=str(error)) from error


def _describe(certificate: x509.Certificate) -> Description:
    public = keys.as_public_key(certificate.public_key())
    names: list[str] = []
    is_authority = False
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = [str(name.value) for name in extension.value]
        elif isinstance(extension.value, x509.BasicConstraints):
            is_authority = extension.value.ca
    return Description(
        subject=", ".join(names) or certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        is_authority=is_authority,
        kind=keys.kind(public),
        key_id=keys.key_id(public),
        public_pem=keys.public_pem(public),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )
