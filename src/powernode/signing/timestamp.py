# SPDX-License-Identifier: MIT
"""RFC 3161: ask an authority when a signature was there: what to send, and whether the answer is one.

Invariants: an answer is taken only if it was granted and holds our hash and our nonce. Whether the authority's own
signature is right, and whether it is one to believe, is for verifiers (`trust.timestamp`).

Out of scope: HTTP (POST with `REQUEST_TYPE`).

    nonce = os.urandom(8)
    body = request(signature, nonce)
    require_answer(answer, signature, nonce)
"""

from __future__ import annotations

import hashlib

from powernode.base.errors import DataError, InternalError

__all__ = ["ANSWER_TYPE", "MAX_ANSWER", "REQUEST_TYPE", "request", "require_answer"]

REQUEST_TYPE = "application/timestamp-query"
ANSWER_TYPE = "application/timestamp-reply"
MAX_ANSWER = 64 << 10

_NONCE_SIZE = 8
# With SHA-256 and a nonce of eight bytes every request has the same shape (RFC 3161, 2.4.1), so it is a template:
# version 1, the hash's algorithm and value, the nonce, and "send your certificate along".
_BEFORE_HASH = bytes.fromhex("30430201013031300d0609608648016503040201050004 20")
_BEFORE_NONCE = bytes.fromhex("0208")
_AFTER_NONCE = bytes.fromhex("0101ff")


def request(signature: bytes, nonce: bytes) -> bytes:
    """DER of the question."""
    return _BEFORE_HASH + hashlib.sha256(signature).digest() + _BEFORE_NONCE + _number(nonce) + _AFTER_NONCE


def require_answer(answer: bytes, signature: bytes, nonce: bytes) -> None:
    """Return if the answer can be kept beside the signature; code signing.timestamp."""
    status = _status(answer)
    if status not in (0, 1):  # granted, granted with changes
        raise _refusal("the authority did not give a timestamp", expected="status 0 or 1", found=f"status {status}")
    for what, part in (("hash", hashlib.sha256(signature).digest()), ("nonce", _BEFORE_NONCE + _number(nonce))):
        if part not in answer:
            raise _refusal(f"the timestamp is for another question: it lacks our {what}")


def _number(nonce: bytes) -> bytes:
    """Eight bytes that are the one DER spelling of a positive integer."""
    if len(nonce) != _NONCE_SIZE:
        raise InternalError("signing.timestamp.nonce", "a nonce has eight bytes")
    return bytes([nonce[0] & 0x3F | 0x40]) + nonce[1:]


def _status(answer: bytes) -> int:
    """TimeStampResp ::= SEQUENCE { SEQUENCE { INTEGER, … }, … }"""
    if len(answer) > MAX_ANSWER:
        raise _refusal("the timestamp is too long", expected=f"at most {MAX_ANSWER} bytes")
    at = 0
    for _ in range(2):
        if len(answer) < at + 4 or answer[at] != 0x30:
            raise _refusal("this is no answer of a timestamp authority", expected="DER")
        long_form = answer[at + 1] & 0x7F if answer[at + 1] & 0x80 else 0
        at += 2 + long_form
    if answer[at : at + 2] != b"\x02\x01" or len(answer) < at + 3:
        raise _refusal("this is no answer of a timestamp authority", expected="a status")
    return answer[at + 2]


def _refusal(message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError("signing.timestamp", message, expected=expected, found=found)
