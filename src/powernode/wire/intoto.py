# SPDX-License-Identifier: MIT
"""in-toto statements: a predicate about things that are named by their digests.

Invariants: `parse` is bounded and refuses a member that is there twice. What is in the predicate is its reader's
business: unlike our own documents it may have fractions in it (scores in an SBOM), so this is not `base.canonical`.

Out of scope: predicates; whether the statement is signed (`trust.artifact`).

    statement = parse(payload, max_bytes=1 << 20)
    statement.predicate_type, statement.sha256
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from powernode.base.errors import DataError

__all__ = ["PAYLOAD_TYPE", "STATEMENT_TYPE", "Statement", "parse"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_TYPES = (STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1")
_MAX_SUBJECTS = 1024
_MAX_PARTS = 1 << 20
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    predicate_type: str
    sha256: frozenset[str]
    """Of the subjects, in hexadecimal; subjects that have none are left out."""


def parse(data: bytes, *, max_bytes: int) -> Statement:
    """What the statement is about; code wire.intoto."""
    if len(data) > max_bytes:
        raise _refusal("it is too long", expected=f"at most {max_bytes} bytes", found=str(len(data)))
    if sum(map(data.count, (b",", b"[", b"{"))) > _MAX_PARTS:
        raise _refusal("it has too many parts", expected=f"at most {_MAX_PARTS}")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_members)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError and numbers of too many digits
        raise _refusal(f"it is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("_type") not in _TYPES:
        raise _refusal("it has another type", expected=STATEMENT_TYPE)
    predicate_type, subjects = document.get("predicateType"), document.get("subject")
    if not isinstance(predicate_type, str) or not 0 < len(predicate_type) <= 512:
        raise _refusal("its predicateType is no text of at most 512 characters")
    if not isinstance(subjects, list) or not 0 < len(subjects) <= _MAX_SUBJECTS:
        raise _refusal(f"its subject is no list of 1 to {_MAX_SUBJECTS}")
    return Statement(predicate_type=predicate_type, sha256=frozenset().union(*map(_sha256, subjects)))


def _sha256(subject: Any) -> frozenset[str]:
    digests = subject.get("digest") if isinstance(subject, dict) else None
    if not isinstance(digests, dict):
        raise _refusal("a subject has no digests")
    value = digests.get("sha256")
    if value is None:
        return frozenset()
    if not isinstance(value, str) or len(value) != 64 or not set(value) <= _HEX:
        raise _refusal("a subject's sha256 is no digest")
    return frozenset((value,))


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def _refusal(message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError("wire.intoto", f"this is no in-toto statement: {message}", expected=expected, found=found)
