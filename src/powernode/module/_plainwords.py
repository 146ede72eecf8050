# SPDX-License-Identifier: MIT
"""What a word without quotes means in YAML, if all readers agree about it.

YAML 1.1, YAML 1.2 and the programs that claim either differ about numbers, dates and truth values. Here a word is what
they all take it for, or it is doubtful, and its author is asked to say what he means.

    plain_word("42"), plain_word("true"), plain_word("/etc/x")      # 42, True, "/etc/x"
    plain_word("017").cause                                         # "number"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Doubtful", "plain_word"]

_MAX_INTEGER = (1 << 63) - 1
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_DOUBTS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "boolean",
        re.compile(r"y|n|yes|no|on|off|true|false", re.I),
        "is true or false to some readers and text to others",
    ),
    ("null", re.compile(r"null", re.I), "is nothing to some readers and text to others"),
    ("merge", re.compile(r"<<|="), "is a merge key or a default to some readers"),
    ("date", re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"), "is a date to some readers"),
    (
        "sexagesimal",
        re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
        "is a number of base 60 to some readers",
    ),
    (
        "number",
        re.compile(r"[-+]?(0[0-7_]+|0b[01_]+|0o[0-7_]+|0x[0-9a-f_]+|0[0-9]+|[0-9][0-9_]*|[+][0-9]+|-0)", re.I),
        "is read as different numbers by different readers",
    ),
    (
        "float",
        re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*)(e[-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.I),
        "is a floating-point number, and none is meant anywhere in a manifest",
    ),
)
_INSTEAD = {
    "boolean": ", for a choice true or false",
    "null": ", for nothing null",
    "number": ", for a number its decimal digits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """`message` goes on after the word."""

    cause: str
    message: str
    hint: str


def plain_word(text: str) -> Json | Doubtful:
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text) and len(text) < 21 and -_MAX_INTEGER - 1 <= int(text) <= _MAX_INTEGER:
        return int(text)
    for cause, pattern, message in _DOUBTS:
        if pattern.fullmatch(text):
            hint = f'for text write "{text[:60]}"' + _INSTEAD.get(cause, "")
            return Doubtful(cause=cause, message=message, hint=hint)
    return text
