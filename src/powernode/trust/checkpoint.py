# SPDX-License-Identifier: MIT
"""What a log says of itself: how many entries it has and the root over them, as a signed note (C2SP tlog-checkpoint).

Invariants: `verify` returns only what the given log has signed: a signature line counts if it has the log's name and
the first four bytes of its id, and its signature is the log's key's over the text; other lines (witnesses) are
overlooked. The text's first line is the log's origin.

Out of scope: cosignatures of witnesses; whether two checkpoints are of one history.

    checkpoint = verify(envelope, log)
    checkpoint.size, checkpoint.root_hash
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.trust.algorithms import is_by

if TYPE_CHECKING:
    from powernode.trust.root import Log

__all__ = ["Checkpoint", "verify"]

_MAX_BYTES = 16 << 10
_MAX_SIGNATURES = 32
_DASH = "\N{EM DASH} "


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    size: int
    root_hash: bytes


def verify(envelope: str, log: Log) -> Checkpoint:
    """The checkpoint in `envelope`; code trust.log.checkpoint."""
    if len(envelope) > _MAX_BYTES:
        raise _refusal("the checkpoint is too long", found=str(len(envelope)))
    text, separator, signatures = envelope.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    if not separator or len(lines) < 4 or not signatures.endswith("\n") or "" in lines[:-1]:
        raise _refusal("the checkpoint is no signed note of at least three lines")
    origin, size, root_hash = lines[:3]
    if origin != log.origin and not origin.startswith(f"{log.origin} - "):  # Rekor 1 adds the number of its tree
        raise _refusal("the checkpoint is of another log", expected=log.origin, found=origin[:100])
    checkpoint = Checkpoint(size=_number(size), root_hash=_base64(root_hash))
    if len(checkpoint.root_hash) != 32:
        raise _refusal("the checkpoint's root is no SHA-256")
    found = signatures.split("\n")[:-1]
    if len(found) > _MAX_SIGNATURES:
        raise _refusal("the checkpoint has too many signatures")
    if not any(_is_signed(text.encode("utf-8"), line, log) for line in found):
        raise _refusal("the log has not signed the checkpoint", expected=f"a signature by {log.origin}")
    return checkpoint


def _is_signed(text: bytes, line: str, log: Log) -> bool:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise _refusal("the checkpoint has a line that is no signature", found=line[:100])
    value = _base64(encoded)
    return name == log.origin and value[:4] == log.log_id[:4] and is_by(log.key, text, value[4:])


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or (text != "0" and text.startswith("0")):
        raise _refusal("the checkpoint's size is no number", found=text[:40])
    return int(text)


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise _refusal("the checkpoint has a line that is not base64", found=text[:100]) from None


def _refusal(message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError("trust.log.checkpoint", message, expected=expected, found=found)
