# SPDX-License-Identifier: MIT
"""A private certificate authority for signers: a root that can stay in a safe, an intermediate that issues,
certificates that live ten minutes, and a signer of timestamps, without which nobody could verify when those are over.

Invariants: `issue` certifies a key only for whom `oidc.verify` named, and only after the key's holder signed the
identity's challenge; a certificate is for code signing alone, names one identity, and never outlives its issuer. The
extensions and their encodings are Fulcio's, so cosign and every reader of its certificates understands ours.

Out of scope: tokens (`oidc`); an HTTP endpoint; logs of certificates (a private authority has none: its verifiers go
by its chain alone).

    authority = new("Example", now=now)
    leaf = issue(authority, public_key, proof, identity, now=now)      # DER
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from powernode.base.errors import DataError, OperatorError
from powernode.signing import keys
from powernode.signing.encoding import UTF8_STRING, der
from powernode.signing.stamp import Stamper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.signing.oidc import Identity

__all__ = ["LEAF_LIFETIME_S", "Authority", "issue", "new", "prove"]

LEAF_LIFETIME_S = 600
_ROOT_LIFETIME_S = 10 * 365 * 86400
_ISSUER_LIFETIME_S = 3 * 365 * 86400
_FULCIO = "1.3.6.1.4.1.57264.1"
_RAW_TEXT = range(1, 7)  # the oldest extensions are the text itself and no DER string


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What issues: the key is the intermediate's. `stamper` says when a signature was made."""

    root: x509.Certificate
    intermediate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    stamper: Stamper

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER, from the one that issues up to the root."""
        return tuple(each.public_bytes(serialization.Encoding.DER) for each in (self.intermediate, self.root))


def new(name: str, *, now: int) -> tuple[Authority, ec.EllipticCurvePrivateKey]:
    """An authority, and the root's key, which nobody needs again until the intermediate is over."""
    if not name or len(name) > 48 or not name.isprintable():
        raise OperatorError("signing.ca.name", "an authority needs a name", expected="1 to 48 characters", found=name)
    root_key = ec.generate_private_key(ec.SECP384R1())
    key = ec.generate_private_key(ec.SECP384R1())
    root_name, issuer_name = _name(name, f"{name} signing root"), _name(name, f"{name} signing")
    root = (
        _builder(root_key.public_key(), root_key.public_key(), root_name, root_name, now, now + _ROOT_LIFETIME_S)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(root_key, hashes.SHA384())
    )
    intermediate = (
        _builder(key.public_key(), root_key.public_key(), issuer_name, root_name, now, now + _ISSUER_LIFETIME_S)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(root_key, hashes.SHA384())
    )
    stamp_key = ec.generate_private_key(ec.SECP256R1())
    stamp_name = _name(name, f"{name} timestamps")
    stamping = (
        _builder(stamp_key.public_key(), root_key.public_key(), stamp_name, root_name, now, now + _ISSUER_LIFETIME_S)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)  # RFC 3161, 2.3
        .sign(root_key, hashes.SHA384())
    )
    stamper = Stamper(key=stamp_key, certificate=stamping.public_bytes(serialization.Encoding.DER))
    return Authority(root=root, intermediate=intermediate, key=key, stamper=stamper), root_key


def prove(key: keys.PrivateKey, challenge: str) -> bytes:
    """The proof of possession that `issue` asks for: the challenge, signed."""
    return keys.sign(key, challenge.encode())


def issue(authority: Authority, public: keys.PublicKey, proof: bytes, identity: Identity, *, now: int) -> bytes:
    """A certificate for ten minutes from `now` (DER); codes signing.ca.{possession,expired}."""
    try:
        keys.check(public, identity.challenge.encode(), proof)
    except InvalidSignature:
        raise DataError(
            "signing.ca.possession",
            "whoever asks does not have the key",
            expected="the token's subject, signed with it",
        ) from None
    end = now + LEAF_LIFETIME_S
    for certificate in (authority.intermediate, authority.root):
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        if not begins <= now <= end <= ends:
            raise OperatorError(
                "signing.ca.expired",
                f"{certificate.subject.rfc4514_string()} cannot issue now",
                expected=f"a time between {begins:.0f} and {ends - LEAF_LIFETIME_S:.0f}",
                found=f"{now}",
                hint="make a new authority, and tell its verifiers",
            )
    name: x509.GeneralName = x509.UniformResourceIdentifier(identity.subject)
    if identity.is_email:
        name = x509.RFC822Name(identity.subject)
    builder = (
        _builder(public, authority.key.public_key(), x509.Name([]), authority.intermediate.subject, now, end)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([name]), critical=True
        )  # as the subject is empty (RFC 5280, 4.2.1.6)
    )
    for number, text in sorted({**identity.extensions, 1: identity.issuer, 8: identity.issuer}.items()):
        value = text.encode() if number in _RAW_TEXT else der(UTF8_STRING, text.encode())
        oid = x509.ObjectIdentifier(f"{_FULCIO}.{number}")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA384())
    return certificate.public_bytes(serialization.Encoding.DER)


def _builder(
    public: keys.PublicKey, issuer: keys.PublicKey, subject: x509.Name, issuer_name: x509.Name, start: int, end: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(start, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(end, datetime.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    )


def _name(organization: str, common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
