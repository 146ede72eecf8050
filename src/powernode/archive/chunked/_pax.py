# SPDX-License-Identifier: MIT
"""Extended headers of POSIX.1-2001 tar, of whoever wrote them: `LENGTH KEY=VALUE\\n`, and what the values mean.

Times are cut to whole seconds, as a tree of ours has them.
"""

from __future__ import annotations

import math
import re

from powernode.base.errors import DataError

__all__ = ["number", "records", "time", "xattrs"]

_LENGTH = re.compile(rb"([1-9][0-9]{0,6}) ")
_XATTR = b"SCHILY.xattr."
_DECIMAL = re.compile(rb"-?[0-9]{1,20}\Z")
_TIME = re.compile(rb"(-?[0-9]{1,12})(\.[0-9]{0,40})?\Z")


def records(data: bytes) -> dict[bytes, bytes]:
    """The records; a later one of the same key counts, as the standard says."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        match = _LENGTH.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1] != ord("\n"):
            raise _malformed(data[at : at + 40])
        key, equals, value = data[match.end() : end - 1].partition(b"=")
        if not key or not equals:
            raise _malformed(data[at : at + 40])
        found[key] = value
        at = end
    return found


def number(found: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
    value = found.get(key)
    if not value:
        return otherwise
    if not _DECIMAL.match(value):
        raise _malformed(value)
    return int(value)


def time(found: dict[bytes, bytes], otherwise: int) -> int:
    value = found.get(b"mtime")
    if not value:
        return otherwise
    match = _TIME.match(value)
    if match is None:
        raise _malformed(value)
    seconds = int(match[1])
    has_part = match[2] is not None and match[2].strip(b".0") != b""
    return math.floor(seconds - 0.5) if has_part and value.startswith(b"-") else seconds


def xattrs(found: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(sorted((key[len(_XATTR) :], value) for key, value in found.items() if key.startswith(_XATTR)))


def _malformed(found: bytes) -> DataError:
    return DataError("archive.layer.pax", "an extended header is malformed", found=repr(found[:40]))
