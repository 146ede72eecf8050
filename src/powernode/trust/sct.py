# SPDX-License-Identifier: MIT
"""That a certificate was announced to a certificate log (RFC 6962, signed certificate timestamps in the certificate).

Invariants: `verify` returns only if one of the given logs, valid at that time, has signed the certificate as it was
before the timestamps were put into it, together with the key of the CA that made it.

Out of scope: timestamps beside the certificate (OCSP, TLS, Fulcio's header); asking a log for inclusion.

    verify(leaf, issuer, trust_root.certificate_logs)
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.trust.algorithms import USUAL
from powernode.trust.der import OCTET_STRING, SEQUENCE, Reader, context, encode
from powernode.trust.keys import KeyKind
from powernode.trust.signature import check_signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from powernode.trust.root import Log
    from powernode.trust.x509 import Certificate

__all__ = ["verify"]

_LIST = "1.3.6.1.4.1.11129.2.4.2"
_MAX_TIMESTAMPS = 8
# DigitallySigned of TLS 1.2: SHA-256 with RSA or ECDSA.
_SIGNED_WITH = {KeyKind.RSA: b"\x04\x01", KeyKind.ECDSA_P256: b"\x04\x03", KeyKind.ECDSA_P384: b"\x04\x03"}


def verify(leaf: Certificate, issuer: Certificate, logs: Sequence[Log]) -> None:
    """Return if one of `logs` has the certificate; code trust.sct."""
    if _LIST not in leaf.extensions:
        raise _refusal("no certificate log has seen the certificate: it has no signed timestamp")
    with Reader(leaf.extensions[_LIST].value, "the list of certificate timestamps") as reader:
        listed = reader.content(OCTET_STRING)
    before = _without_list(leaf.tbs)
    entry = b"\x00\x01" + sha256(issuer.key.spki).digest() + len(before).to_bytes(3, "big") + before
    for number, timestamp in enumerate(_vectors(listed)):
        if number == _MAX_TIMESTAMPS:
            break
        if any(_is_by(log, timestamp, entry) for log in logs):
            return
    raise _refusal("no certificate log we trust has seen the certificate")


def _is_by(log: Log, timestamp: bytes, entry: bytes) -> bool:
    if timestamp[:1] != b"\x00" or timestamp[1:33] != log.log_id or len(timestamp) < 47:
        return False
    milliseconds, extensions_size = timestamp[33:41], int.from_bytes(timestamp[41:43], "big")
    extensions, rest = timestamp[41 : 43 + extensions_size], timestamp[43 + extensions_size :]
    size = int.from_bytes(rest[2:4], "big")
    if rest[:2] != _SIGNED_WITH.get(log.key.kind) or len(rest) != 4 + size:
        return False
    if not log.is_valid(int.from_bytes(milliseconds, "big") // 1000):
        return False
    message = b"\x00\x00" + milliseconds + entry + extensions
    algorithm = next(item for item in USUAL[log.key.kind] if item.name.endswith("SHA256"))
    try:
        check_signature(algorithm, log.key.spki, message, rest[4:])
    except DataError as error:
        if error.code != "trust.signature":
            raise
        return False
    return True


def _vectors(listed: bytes) -> Iterator[bytes]:
    """The items of a TLS vector of vectors, each with its length in two bytes."""
    if int.from_bytes(listed[:2], "big") != len(listed) - 2:
        raise _refusal("the list of certificate timestamps is malformed")
    at = 2
    while at < len(listed):
        size = int.from_bytes(listed[at : at + 2], "big")
        if size == 0 or at + 2 + size > len(listed):
            raise _refusal("the list of certificate timestamps is malformed")
        yield listed[at + 2 : at + 2 + size]
        at += 2 + size


def _without_list(tbs: bytes) -> bytes:
    """The certificate's signed part as the log saw it: without the extension that holds the timestamps."""
    with Reader(tbs, "the certificate") as reader:
        inside = reader.enter(SEQUENCE)
    parts = []
    while not inside.is_empty:
        if inside.tag != context(3, constructed=True):
            parts.append(inside.whole())
            continue
        kept = []
        with inside.enter(context(3, constructed=True)) as explicit, explicit.enter(SEQUENCE) as listed:
            while not listed.is_empty:
                extension = listed.whole(SEQUENCE)
                with Reader(extension, "the certificate") as again:
                    if again.enter(SEQUENCE).object() != _LIST:
                        kept.append(extension)
        parts.append(encode(context(3, constructed=True), encode(SEQUENCE, b"".join(kept))))
    return encode(SEQUENCE, b"".join(parts))


def _refusal(message: str) -> DataError:
    return DataError("trust.sct", message)
