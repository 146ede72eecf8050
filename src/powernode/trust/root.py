# SPDX-License-Identifier: MIT
"""Trust roots: whom certificates, logs and timestamps are believed from, read from the operator's own files.

Invariants: a file is read whole or refused; everything in it has a beginning of its validity, and the interval is
closed at both ends; keys are taken only if libcrypto has read them. What a root knows, it asks for: logs make inclusion
a must, certificate logs make signed certificate timestamps one.

Out of scope: fetching and updating the file (TUF); a trust root is as trustworthy as the way it came here.

    root = private_root(pem, name="acme")
    root = read_trusted_root(data, name="sigstore")     # trusted_root.json, version 0.1
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.trust import x509
from powernode.trust._json import base64_of, is_present
from powernode.trust.der import BIT_STRING, NULL, OBJECT, SEQUENCE, encode
from powernode.trust.keys import PublicKey
from powernode.trust.signature import examine_key
from powernode.trust.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _T = TypeVar("_T")

__all__ = ["Authority", "Log", "TrustRoot", "private_root", "read_trusted_root"]

MAX_BYTES = 1 << 20
_MAX_EACH = 32
_FOREVER = (1 << 63) - 1
_CODE = "trust.root"
_MEDIA_TYPES = (
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
)
_RSA_ENCRYPTION = bytes.fromhex("2a864886f70d010101")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A transparency log, of signatures (Rekor) or of certificates (CT)."""

    origin: str
    """Its address without the scheme: how it calls itself in checkpoints."""

    log_id: bytes
    key: PublicKey
    start: int
    end: int = _FOREVER

    def is_valid(self, at: int) -> bool:
        return self.start <= at <= self.end


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Whoever makes certificates, or timestamps: `between` are the CAs (or the signer) below `roots`."""

    roots: tuple[Certificate, ...]
    between: tuple[Certificate, ...] = ()
    start: int = 0
    end: int = _FOREVER

    def is_valid(self, at: int) -> bool:
        return self.start <= at <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    name: str
    """For people: what the operator calls it."""

    authorities: tuple[Authority, ...]
    logs: tuple[Log, ...] = ()
    certificate_logs: tuple[Log, ...] = ()
    timestamp_authorities: tuple[Authority, ...] = ()


def private_root(pem: bytes, *, name: str) -> TrustRoot:
    """A private CA without logs: its self-signed certificates and, if wanted, the CAs between; codes trust.x509.*."""
    certificates = x509.read_pem(pem)
    roots = tuple(certificate for certificate in certificates if certificate.is_self_issued)
    if not roots:
        raise DataError("trust.root.no-root", f"{name} has no self-signed certificate", hint="add the CA's root to it")
    for certificate in certificates:
        if not certificate.authority[0]:
            raise DataError("trust.root.no-authority", f"{name} has a certificate that is no CA's")
    between = tuple(certificate for certificate in certificates if not certificate.is_self_issued)
    return TrustRoot(name=name, authorities=(Authority(roots=roots, between=between),))


def read_trusted_root(data: bytes, *, name: str) -> TrustRoot:
    """sigstore's trusted_root.json; codes json.*, trust.root.* and those of the keys and certificates in it.

    Members we do not know are overlooked: the format grows, and its readers are told to.
    """
    fields = Fields(canonical.decode(data, what=name, max_bytes=MAX_BYTES), code=_CODE, what=name)
    media_type = fields.text("mediaType", longest=128)
    if media_type not in _MEDIA_TYPES:
        raise fields.refusal("type", f"{name} is no trust root we know", expected=_MEDIA_TYPES[0], found=media_type)
    return TrustRoot(
        name=name,
        authorities=_each(fields, "certificateAuthorities", _authority),
        logs=_each(fields, "tlogs", _log),
        certificate_logs=_each(fields, "ctlogs", _log),
        timestamp_authorities=_each(fields, "timestampAuthorities", _authority),
    )


def _each(fields: Fields, name: str, read: Callable[[Fields], _T]) -> tuple[_T, ...]:
    found = []
    if is_present(fields, name):
        for item in fields.each(name, most=_MAX_EACH):
            found.append(read(item))
            item.ignore_others()
    return tuple(found)


def _authority(item: Fields) -> Authority:
    chain = item.fields("certChain")
    certificates = _each(chain, "certificates", lambda inner: x509.read(base64_of(inner, "rawBytes")))
    if not certificates:
        raise item.refusal("value", f"certChain of {item.what} is empty", expected="from the signer's CA to the root")
    start, end = _validity(item)
    return Authority(roots=certificates[-1:], between=certificates[:-1], start=start, end=end)


def _log(item: Fields) -> Log:
    origin = item.text("baseUrl", longest=256).partition("://")[2].rstrip("/")
    log_id = base64_of(item.fields("logId"), "keyId")
    if not origin or len(log_id) != 32:
        raise item.refusal("value", f"{item.what} has no address or no id of 32 bytes")
    hash_algorithm = item.text("hashAlgorithm", "SHA2_256", longest=64)
    if hash_algorithm != "SHA2_256":
        raise item.refusal("value", f"hashAlgorithm of {item.what}", expected="SHA2_256", found=hash_algorithm)
    public = item.fields("publicKey")
    spki = base64_of(public, "rawBytes")
    if public.text("keyDetails", longest=64).startswith("PKCS1_RSA"):  # the bare RSA key of PKCS #1
        rsa = encode(SEQUENCE, encode(OBJECT, _RSA_ENCRYPTION) + encode(NULL, b""))
        spki = encode(SEQUENCE, rsa + encode(BIT_STRING, b"\x00" + spki))
    kind, bits = examine_key(spki)
    start, end = _validity(public)
    return Log(origin=origin, log_id=log_id, key=PublicKey(kind=kind, bits=bits, spki=spki), start=start, end=end)


def _validity(item: Fields) -> tuple[int, int]:
    period = item.fields("validFor")
    end = _time(period, "end") if is_present(period, "end") else _FOREVER
    return _time(period, "start"), end


def _time(fields: Fields, name: str) -> int:
    """RFC 3339 in UTC, as protobuf writes it; fractions of a second are dropped."""
    text = fields.text(name, longest=40)
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        if not text.endswith("Z") or not (fraction or "0").isdigit() or len(whole) != 19:
            raise ValueError
        return int(datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise fields.refusal("value", f"{name} of {fields.what}", expected="a time in UTC", found=text) from None
