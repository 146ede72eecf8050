# SPDX-License-Identifier: MIT
"""Certificates: reading one, and finding the way from one to a pinned root.

Invariants: there is no system store, no default root and no clock: roots and the time are arguments. A certificate is
version 3 (RFC 5280) in strict DER; an extension twice, a critical one we do not implement, and name constraints,
critical or not, are refused. A path is at most MAX_PATH certificates below a root; every one of them is checked: names,
signature, basicConstraints, pathLenConstraint, keyUsage, and the purpose, which the signer must have by name and
whoever certifies may not exclude. How much work a path costs is bounded before the first signature is checked.

Out of scope: revocation (certificates live for minutes, or are pinned); whose names to believe (`artifact`).

    leaf = read(der)
    path = find_path(leaf, between, roots, at=signed_at, purpose=CODE_SIGNING)
    leaf.names, leaf.issuer_claim
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.trust._utc import utc
from powernode.trust.algorithms import algorithm_of
from powernode.trust.der import OCTET_STRING, SEQUENCE, UTF8_STRING, Reader, context
from powernode.trust.keys import PublicKey
from powernode.trust.pem import blocks
from powernode.trust.signature import check_signature, examine_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CODE_SIGNING", "TIME_STAMPING", "Certificate", "Extension", "find_path", "read", "read_pem"]

MAX_BYTES = 32 << 10
MAX_CERTIFICATES = 16
MAX_PATH = 5

CODE_SIGNING, TIME_STAMPING = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8"

_KEY_USAGE, _ALTERNATIVE_NAME, _BASIC, _NAME_CONSTRAINTS = "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30"
_EXTENDED_USAGE = "2.5.29.37"
_UNDERSTOOD = frozenset((_KEY_USAGE, _ALTERNATIVE_NAME, _BASIC, _EXTENDED_USAGE))
_DIGITAL_SIGNATURE, _CERT_SIGN = 0, 5  # bits of keyUsage

# Fulcio's: https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
_ISSUER_RAW, _ISSUER = "1.3.6.1.4.1.57264.1.1", "1.3.6.1.4.1.57264.1.8"
_OTHER_NAME = "1.3.6.1.4.1.57264.1.7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    is_critical: bool
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What was read; nothing of it is to be believed before `find_path` has returned."""

    der: bytes
    tbs: bytes
    serial: bytes
    issuer: bytes
    """DER, compared byte for byte, as is `subject`."""

    subject: bytes
    not_before: int
    not_after: int
    key: PublicKey
    algorithm: bytes
    signature: bytes
    extensions: Mapping[str, Extension]

    @property
    def is_self_issued(self) -> bool:
        return self.issuer == self.subject

    def is_valid(self, at: int) -> bool:
        return self.not_before <= at <= self.not_after

    @cached_property
    def authority(self) -> tuple[bool, int | None]:
        """basicConstraints: whether this is a CA, and how many CAs may be between it and a signer."""
        if _BASIC not in self.extensions:
            return False, None
        reader = Reader(self.extensions[_BASIC].value, "basicConstraints")
        with reader, reader.enter(SEQUENCE) as inside:
            # DER has no FALSE here, but certificates do: it says what leaving it out says.
            is_authority = not inside.is_empty and inside.tag == 1 and inside.boolean()
            length = None if inside.is_empty else inside.integer()
        if length is not None and (length < 0 or not is_authority):
            raise _refusal("malformed", "pathLenConstraint of what is no CA, or below zero")
        return is_authority, length

    @cached_property
    def key_usage(self) -> frozenset[int] | None:
        if _KEY_USAGE not in self.extensions:
            return None
        with Reader(self.extensions[_KEY_USAGE].value, "keyUsage") as reader:
            return reader.flags()

    @cached_property
    def purposes(self) -> frozenset[str] | None:
        """extKeyUsage; None if nothing is said."""
        if _EXTENDED_USAGE not in self.extensions:
            return None
        found = set()
        reader = Reader(self.extensions[_EXTENDED_USAGE].value, "extKeyUsage")
        with reader, reader.enter(SEQUENCE) as inside:
            while not inside.is_empty:
                found.add(inside.object())
        return frozenset(found)

    def is_only_for(self, purpose: str) -> bool:
        """Whether extKeyUsage is critical and has this purpose and no other."""
        return self.purposes == frozenset((purpose,)) and self.extensions[_EXTENDED_USAGE].is_critical

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Whom the certificate is for: URIs, mail addresses, and Fulcio's user names (an otherName)."""
        found: list[str] = []
        if _ALTERNATIVE_NAME in self.extensions:
            reader = Reader(self.extensions[_ALTERNATIVE_NAME].value, "subjectAltName")
            with reader, reader.enter(SEQUENCE) as inside:
                while not inside.is_empty:
                    found.extend(_name(inside))
        return tuple(found)

    @cached_property
    def issuer_claim(self) -> str | None:
        """Who vouched for the name when the certificate was made: the URL of an OpenID provider."""
        claims = set()
        if _ISSUER in self.extensions:
            with Reader(self.extensions[_ISSUER].value, "Fulcio's issuer") as reader:
                claims.add(reader.utf8())
        if _ISSUER_RAW in self.extensions:  # the older form is the bare text
            try:
                claims.add(self.extensions[_ISSUER_RAW].value.decode("utf-8"))
            except UnicodeDecodeError:
                raise _refusal("malformed", "Fulcio's issuer is not UTF-8") from None
        if len(claims) > 1:
            raise _refusal("malformed", "two different issuers vouch for one name", found=" and ".join(sorted(claims)))
        return claims.pop() if claims else None


def read(der: bytes) -> Certificate:
    """A certificate; codes trust.der, trust.key, trust.x509.malformed and .unsupported."""
    if len(der) > MAX_BYTES:
        raise _refusal("malformed", "the certificate is too long", expected=f"at most {MAX_BYTES} bytes")
    what = "the certificate"
    with Reader(der, what) as reader:
        outer = reader.enter(SEQUENCE)
    with outer:
        tbs = outer.whole(SEQUENCE)
        algorithm = outer.whole(SEQUENCE)
        signature = outer.bits()
    with Reader(tbs, what) as reader:
        inside = reader.enter(SEQUENCE)
    with inside:
        if inside.tag != context(0, constructed=True):
            raise _refusal("unsupported", "the certificate is not version 3")
        with inside.enter(context(0, constructed=True)) as version:
            if version.integer() != 2:
                raise _refusal("unsupported", "the certificate is not version 3")
        serial = inside.integer_bytes()
        if inside.whole(SEQUENCE) != algorithm:
            raise _refusal("malformed", "the certificate names two algorithms for one signature")
        issuer = inside.whole(SEQUENCE)
        with inside.enter(SEQUENCE) as validity:
            not_before, not_after = validity.time(), validity.time()
        subject = inside.whole(SEQUENCE)
        spki = inside.whole(SEQUENCE)
        for number in (1, 2):  # unique identifiers, of which nobody makes use
            if inside.tag == context(number):
                inside.content(context(number))
        extensions = _extensions(inside)
    kind, bits = examine_key(spki)
    return Certificate(
        der=der,
        tbs=tbs,
        serial=serial,
        issuer=issuer,
        subject=subject,
        not_before=not_before,
        not_after=not_after,
        key=PublicKey(kind=kind, bits=bits, spki=spki),
        algorithm=algorithm,
        signature=signature,
        extensions=extensions,
    )


def read_pem(pem: bytes) -> list[Certificate]:
    """Every certificate of a PEM text, in its order; also the codes trust.x509.{pem,label,size}."""
    found = blocks(pem, "CERTIFICATE", code="trust.x509", most=MAX_CERTIFICATES * MAX_BYTES)
    if len(found) > MAX_CERTIFICATES:
        raise _refusal("size", "too many certificates", expected=f"at most {MAX_CERTIFICATES}", found=str(len(found)))
    return [read(der) for der in found]


def find_path(
    leaf: Certificate, between: Sequence[Certificate], roots: Sequence[Certificate], *, at: int, purpose: str
) -> tuple[Certificate, ...]:
    """The certificates from `leaf` to one of `roots`, all of them valid at `at`; codes trust.x509.{usage,path,expired}.

    `between` need not be in order; what does not help is overlooked, except that there may be no more than
    MAX_CERTIFICATES.
    """
    if len(between) > MAX_CERTIFICATES:
        raise _refusal("path", "too many certificates", expected=f"at most {MAX_CERTIFICATES}", found=str(len(between)))
    _check_leaf(leaf, purpose)
    if not leaf.is_valid(at):
        raise _refusal(
            "expired",
            "the certificate is not valid at the time",
            expected=f"{utc(leaf.not_before)} to {utc(leaf.not_after)}",
            found=utc(at),
        )
    reason = _refusal("path", "nobody we trust has certified the signer", found=f"{len(between)} certificates with it")
    checks = 0
    pending: list[tuple[Certificate, ...]] = [(leaf,)]
    while pending:
        path = pending.pop()
        for parent in (*roots, *between):
            if parent.subject != path[-1].issuer or any(parent.der == used.der for used in path):
                continue
            checks += 1
            if checks > 4 * MAX_CERTIFICATES:
                raise _refusal("path", "too many ways from the signer to a root")
            try:
                _check_authority(parent, path, at=at, purpose=purpose)
                check_signature(
                    algorithm_of(path[-1].algorithm, parent.key.kind), parent.key.spki, path[-1].tbs, path[-1].signature
                )
            except DataError as error:
                reason = _refusal("path", f"nobody we trust has certified the signer: {error}")
                continue
            if any(parent.der == root.der for root in roots):
                return (*path, parent)
            if len(path) < MAX_PATH:
                pending.append((*path, parent))
    raise reason


def _check_leaf(leaf: Certificate, purpose: str) -> None:
    _check_extensions(leaf)
    if leaf.authority[0]:
        raise _refusal("usage", "the certificate is a CA's and not a signer's")
    if leaf.key_usage is None or _DIGITAL_SIGNATURE not in leaf.key_usage:
        raise _refusal("usage", "the certificate is not for signatures", expected="keyUsage digitalSignature")
    if leaf.purposes is None or purpose not in leaf.purposes:
        found = ", ".join(sorted(leaf.purposes or ())) or "none"
        raise _refusal("usage", "the certificate is not for this purpose", expected=purpose, found=found)


def _check_authority(parent: Certificate, path: Sequence[Certificate], *, at: int, purpose: str) -> None:
    """`parent` may certify the last of `path`. Leaf and renewals of a CA's own key do not count as CAs below."""
    _check_extensions(parent)
    is_authority, length = parent.authority
    if not is_authority:
        raise _refusal("path", "a certificate on the way is no CA's")
    if parent.key_usage is None or _CERT_SIGN not in parent.key_usage:
        raise _refusal("path", "a CA on the way may not certify", expected="keyUsage keyCertSign")
    below = sum(not certificate.is_self_issued for certificate in path[1:])
    if length is not None and below > length:
        raise _refusal("path", "the way is longer than a CA allows", expected=f"{length} CAs below", found=str(below))
    if parent.purposes is not None and purpose not in parent.purposes:
        raise _refusal("path", "a CA on the way is for other purposes", found=", ".join(sorted(parent.purposes)))
    if not parent.is_valid(at):
        raise _refusal(
            "path",
            "a CA on the way is not valid at the time",
            expected=f"{utc(parent.not_before)} to {utc(parent.not_after)}",
            found=utc(at),
        )


def _check_extensions(certificate: Certificate) -> None:
    for name, extension in certificate.extensions.items():
        if name == _NAME_CONSTRAINTS or (extension.is_critical and name not in _UNDERSTOOD):
            raise _refusal("path", "a certificate has a condition that we cannot check", found=f"extension {name}")


def _extensions(inside: Reader) -> dict[str, Extension]:
    found: dict[str, Extension] = {}
    if inside.tag != context(3, constructed=True):
        return found
    with inside.enter(context(3, constructed=True)) as explicit, explicit.enter(SEQUENCE) as listed:
        while not listed.is_empty:
            with listed.enter(SEQUENCE) as item:
                name = item.object()
                is_critical = item.tag == 1 and item.boolean()
                value = item.content(OCTET_STRING)
            if name in found:
                raise _refusal("malformed", "an extension is there twice", found=name)
            found[name] = Extension(is_critical=is_critical, value=value)
    return found


def _name(reader: Reader) -> list[str]:
    """The GeneralName that comes next, if it is of a kind we compare."""
    if reader.tag in (context(1), context(6)):  # rfc822Name, uniformResourceIdentifier
        return [reader.ascii(context(1) if reader.tag == context(1) else context(6))]
    if reader.tag != context(0, constructed=True):
        reader.any()
        return []
    with reader.enter(context(0, constructed=True)) as other:
        kind = other.object()
        with other.enter(context(0, constructed=True)) as value:
            if kind == _OTHER_NAME and value.tag == UTF8_STRING:
                return [value.utf8()]
            value.any()
    return []


def _refusal(cause: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"trust.x509.{cause}", message, expected=expected, found=found)
