# SPDX-License-Identifier: MIT
"""KEY=VALUE text: identity.cfg on a boot partition, user data of a cloud.

One pair a line; `#` begins a comment line; a value may stand in a pair of quotes, which are dropped; there are no
escapes and no continuation. A byte order mark and CR LF are accepted: the file is written on other people's laptops.

    parse(b"SERVER=https://p.example\\n", "identity.cfg")     # [(1, "SERVER", "https://p.example")]
"""

from __future__ import annotations

from powernode.base.errors import DataError

_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MOST_LINES = 1024


def parse(data: bytes, place: str) -> list[tuple[int, str, str]]:
    """Line number, key, value; a key may be there twice. `data` is bounded by whoever read it."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("identity.encoding", f"{place} is not UTF-8 text", found=f"byte {error.start}") from None
    lines = text.split("\n")
    if len(lines) > _MOST_LINES:
        raise DataError("identity.too-large", f"{place} has too many lines", expected=f"at most {_MOST_LINES}")
    pairs: list[tuple[int, str, str]] = []
    for number, line in enumerate(lines, 1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key, value = key.rstrip(" \t"), value.lstrip(" \t")
        # The line itself is not shown: it may be the one with the token.
        if not equals or not key or not _KEY.issuperset(key):
            raise DataError("identity.syntax", f"{place} line {number} cannot be read", expected="KEY=VALUE")
        if not value.isprintable():
            raise DataError("identity.syntax", f"{place} line {number} has control characters")
        if value[:1] in ('"', "'"):
            if len(value) < 2 or value[-1] != value[0]:
                raise DataError("identity.syntax", f"{place} line {number} has no closing quote")
            value = value[1:-1]
        pairs.append((number, key, value))
    return pairs
