# SPDX-License-Identifier: MIT
"""When a signature existed, by the word of a timestamp authority (RFC 3161, CMS of RFC 5652).

Invariants: `verify` returns a time only if the response grants it, the token's one signer is certified for time
stamping under the authority's pinned root and valid at that time, so is the authority, its signature covers the token's
content, and the content is about exactly this message. The signer's certificate is for timestamps alone, by a critical
extension (RFC 3161, 2.3). Where the pinned chain names the signer, only that one counts; certificates in the token are
otherwise just hints on the way to the root.

Out of scope: asking for timestamps; nonces; accuracy (the time is believed to the second).

    signed_at = verify(response, signature, authorities)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.trust import x509
from powernode.trust._utc import utc
from powernode.trust.algorithms import algorithm_of, hash_of
from powernode.trust.der import INTEGER, OBJECT, OCTET_STRING, SEQUENCE, SET, Reader, context, encode
from powernode.trust.signature import check_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.trust.root import Authority
    from powernode.trust.x509 import Certificate

__all__ = ["verify"]

_MAX_BYTES = 64 << 10
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_TST_OBJECT = encode(OBJECT, bytes.fromhex("2a864886f70d0109100104"))
_WHAT = "the timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    content: bytes
    certificates: tuple[Certificate, ...]
    issuer: bytes | None
    """Issuer and serial number name the signer, or its key's identifier does."""

    serial: bytes | None
    key_identifier: bytes | None
    digest: str
    attributes: dict[str, bytes]
    signed: bytes
    """The attributes in the form that is signed."""

    algorithm: bytes
    signature: bytes


def verify(response: bytes, message: bytes, authorities: Sequence[Authority]) -> int:
    """Seconds since 1970 at which `message` existed; codes trust.timestamp.* and those of der, algorithms and x509."""
    if len(response) > _MAX_BYTES:
        raise _refusal("malformed", "the timestamp is too long", expected=f"at most {_MAX_BYTES} bytes")
    token = _read(response)
    digest, imprint, time = _content(token.content)
    if hashlib.new(digest, message).digest() != imprint:
        raise _refusal("other", "the timestamp is of something else")
    if token.attributes.get(_CONTENT_TYPE) != _TST_OBJECT:
        raise _refusal("malformed", "the timestamp's signature is not over a timestamp")
    if token.attributes.get(_MESSAGE_DIGEST) != encode(OCTET_STRING, hashlib.new(token.digest, token.content).digest()):
        raise _refusal("signature", "the timestamp's signature is over something else")
    reason = _refusal("authority", "the timestamp is by nobody we trust", found=f"{len(authorities)} authorities known")
    for authority in authorities:
        try:
            _check_signer(token, authority, time)
        except DataError as error:
            reason = error if not reason.code.endswith(".signature") else reason
        else:
            return time
    raise reason


def _check_signer(token: _Token, authority: Authority, time: int) -> None:
    pinned = [certificate for certificate in authority.between if not certificate.authority[0]]
    signers = [item for item in pinned or token.certificates if _is_named(item, token)]
    if not signers:
        raise _refusal("authority", "the timestamp is by nobody we trust")
    signer = signers[0]
    if not signer.is_only_for(x509.TIME_STAMPING):
        raise _refusal(
            "authority", "the timestamp's signer is not for timestamps alone", expected="critical extKeyUsage"
        )
    _check_attribute(token, signer)
    x509.find_path(
        signer, (*authority.between, *token.certificates), authority.roots, at=time, purpose=x509.TIME_STAMPING
    )
    if not authority.is_valid(time):
        raise _refusal(
            "authority",
            "the timestamp authority was not to be believed at its time",
            expected=f"{utc(authority.start)} to {utc(authority.end)}",
            found=utc(time),
        )
    algorithm = algorithm_of(token.algorithm, signer.key.kind, digest=token.digest)
    try:
        check_signature(algorithm, signer.key.spki, token.signed, token.signature)
    except DataError as error:
        raise _refusal("signature", f"the timestamp's signature is wrong: {error}") from error


def _is_named(certificate: Certificate, token: _Token) -> bool:
    if token.key_identifier is None:
        return (certificate.issuer, certificate.serial) == (token.issuer, token.serial)
    extension = certificate.extensions.get("2.5.29.14")
    return extension is not None and extension.value == encode(OCTET_STRING, token.key_identifier)


def _check_attribute(token: _Token, signer: Certificate) -> None:
    """RFC 5035: the signer's certificate is named by its hash as well, under the signature."""
    value = token.attributes.get(_SIGNING_CERTIFICATE_V2)
    if value is None:
        return
    with Reader(value, _WHAT) as reader, reader.enter(SEQUENCE) as outer:
        with outer.enter(SEQUENCE) as listed, listed.enter(SEQUENCE) as first:
            digest = hash_of(first) if first.tag == SEQUENCE else "sha256"
            found = first.content(OCTET_STRING)
            while not first.is_empty:
                first.any()
            while not listed.is_empty:
                listed.any()
        while not outer.is_empty:
            outer.any()
    if found != hashlib.new(digest, signer.der).digest():
        raise _refusal("signature", "the timestamp names another certificate as its signer's")


def _content(content: bytes) -> tuple[str, bytes, int]:
    """TSTInfo: the imprint's hash, the imprint, and the time."""
    with Reader(content, _WHAT) as reader:
        inside = reader.enter(SEQUENCE)
    if inside.integer() != 1:
        raise _refusal("malformed", "the timestamp is of another version")
    inside.object()
    with inside.enter(SEQUENCE) as imprint:
        digest, value = hash_of(imprint), imprint.content(OCTET_STRING)
    inside.integer_bytes()
    time = inside.time()
    while not inside.is_empty:  # accuracy, ordering, nonce, name: nothing that makes the time more or less true
        tag, _ = inside.any()
        if tag == context(1, constructed=True):
            raise _refusal("unsupported", "the timestamp has extensions")
    return digest, value, time


def _read(response: bytes) -> _Token:
    """TimeStampResp, then ContentInfo, SignedData and its one SignerInfo."""
    with Reader(response, _WHAT) as reader, reader.enter(SEQUENCE) as outer:
        if outer.tag == SEQUENCE:  # the status; a bare token begins with an object identifier
            status = outer.enter(SEQUENCE)
            if status.integer() not in (0, 1):
                raise _refusal("malformed", "the timestamp was not granted")
            info = outer.enter(SEQUENCE)
        else:
            info = outer
        if info.object() != _SIGNED_DATA:
            raise _refusal("malformed", "the timestamp is no CMS SignedData")
        with info.enter(context(0, constructed=True)) as explicit:
            data = explicit.enter(SEQUENCE)
        info.done()
    if data.integer() != 3:
        raise _refusal("malformed", "the timestamp is of another version")
    data.content(SET)
    with data.enter(SEQUENCE) as inside:
        if inside.object() != _TST_INFO:
            raise _refusal("malformed", "the CMS holds no timestamp")
        with inside.enter(context(0, constructed=True)) as explicit:
            content = explicit.content(OCTET_STRING)
    certificates: list[Certificate] = []
    if data.tag == context(0, constructed=True):
        with data.enter(context(0, constructed=True)) as listed:
            while not listed.is_empty:
                if len(certificates) == x509.MAX_CERTIFICATES:
                    raise _refusal("malformed", "too many certificates in the timestamp")
                certificates.append(x509.read(listed.whole(SEQUENCE)))
    if data.tag == context(1, constructed=True):
        data.content(context(1, constructed=True))  # revocation lists
    with data.enter(SET) as signers, signers.enter(SEQUENCE) as signer:
        token = _signer(signer, content, tuple(certificates))
    data.done()
    return token


def _signer(signer: Reader, content: bytes, certificates: tuple[Certificate, ...]) -> _Token:
    signer.integer()
    issuer = serial = key_identifier = None
    if signer.tag == SEQUENCE:
        with signer.enter(SEQUENCE) as name:
            issuer, serial = name.whole(SEQUENCE), name.integer_bytes(INTEGER)
    else:
        key_identifier = signer.content(context(0))
    digest = hash_of(signer)
    if signer.tag != context(0, constructed=True):
        raise _refusal("malformed", "the timestamp's signature is not over attributes")
    listed = signer.content(context(0, constructed=True))
    attributes: dict[str, bytes] = {}
    with Reader(listed, _WHAT) as reader:
        while not reader.is_empty:
            with reader.enter(SEQUENCE) as item:
                name_ = item.object()
                value = item.content(SET)
            if name_ in attributes:
                raise _refusal("malformed", "an attribute is there twice", found=name_)
            attributes[name_] = value
    algorithm, signature = signer.whole(SEQUENCE), signer.content(OCTET_STRING)
    if signer.tag == context(1, constructed=True):
        signer.content(context(1, constructed=True))  # unsigned attributes
    return _Token(
        content=content,
        certificates=certificates,
        issuer=issuer,
        serial=serial,
        key_identifier=key_identifier,
        digest=digest,
        attributes=attributes,
        signed=encode(SET, listed),
        algorithm=algorithm,
        signature=signature,
    )


def _refusal(cause: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"trust.timestamp.{cause}", message, expected=expected, found=found)
