# SPDX-License-Identifier: MIT
"""What a Debian copyright file says about licences, as an SPDX licence expression, or honestly nothing.

Only machine-readable files (the format that began as DEP-5) are translated. Their short names are looked up; a name
that SPDX does not have, or does not mean the same by, becomes `LicenseRef-Debian-NAME`: its text is in the copyright
file and nowhere else, and the same reference in two packages need not be the same text. The expression is about all
files of the source package, joined by AND; what ships may need less, never more.

A file that people wrote for people says `free-text`: no expression is guessed from it. `mentions` has the licences
whose texts in /usr/share/common-licenses it points to; that is a hint where to look, and no statement.

    read(b"Format: https://…/copyright-format/1.0/\\n\\nFiles: *\\nLicense: GPL-2+ or Expat\\n").expression
    # 'GPL-2.0-or-later OR MIT'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from powernode.base.errors import DataError
from powernode.module._deb822 import paragraphs
from powernode.module._spdx import spdx_name

__all__ = ["Licence", "Unstated", "read"]

_MAX_BYTES = 8 << 20
_FORMAT = re.compile(r"copyright-format|dep-?5|dep\.debian\.net|CopyrightFormat", re.IGNORECASE)
_COMMON = re.compile(rb"/usr/share/common-licenses/([A-Za-z0-9.+-]{0,31}[A-Za-z0-9])")
_MAX_SYNOPSIS = 1000
_MAX_WORDS = 4  # of a name; more are the licence itself, written where its name should be
_UNNAMED = "LicenseRef-Debian-unnamed"
_OPERATORS = ((",", "AND"), (",", "OR"), ("", "OR"), ("", "AND"))
"""`and` binds more closely than `or`, unless there is a comma before it."""

_Node: TypeAlias = "str | tuple[str, frozenset[_Node]]"


class Unstated(Enum):
    """Why there is no expression. The values are stable names for machines."""

    MISSING = "missing"
    FREE_TEXT = "free-text"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """Either an SPDX expression or the reason why there is none."""

    expression: str | None = None
    unstated: Unstated | None = None
    mentions: tuple[str, ...] = ()


def read(data: bytes | None) -> Licence:
    """The licences of one copyright file; None is a package that has none."""
    if data is None:
        return Licence(unstated=Unstated.MISSING)
    mentions = tuple(sorted({name.decode() for name in _COMMON.findall(data[:_MAX_BYTES])}))
    first = re.search(rb"\S[^\n]*", data)
    if first is None or not re.match(rb"Format(-Specification)?\s*:", first[0], re.IGNORECASE):
        return Licence(unstated=Unstated.FREE_TEXT, mentions=mentions)
    try:
        header, *others = paragraphs(data, what="a copyright file", max_bytes=_MAX_BYTES)
    except DataError:
        return Licence(unstated=Unstated.MALFORMED, mentions=mentions)
    if not _FORMAT.search(header.get("format", header.get("format-specification", ""))):
        return Licence(unstated=Unstated.FREE_TEXT, mentions=mentions)
    stated = [each["license"] for each in others if "files" in each and "license" in each]
    if not stated and "license" in header:
        stated = [header["license"]]
    if not stated:
        return Licence(unstated=Unstated.MALFORMED, mentions=mentions)
    return Licence(expression=_text(_joined("AND", [_expression(text.partition("\n")[0]) for text in stated])))


def _expression(synopsis: str) -> _Node:
    """What the first line of a License field says."""
    if len(synopsis) > _MAX_SYNOPSIS:
        return _UNNAMED
    try:
        return _parts(synopsis.split(), _OPERATORS)
    except _ProseError:
        return _UNNAMED


class _ProseError(Exception):
    """The line is the licence itself, and no name for it."""


def _parts(words: Sequence[str], operators: Sequence[tuple[str, str]]) -> _Node:
    """Split at the first operator, and what is between its places at the next one."""
    if not operators:
        return _name(words)
    comma, operator = operators[0]
    found: list[list[str]] = [[]]
    for before, word in zip(("", *words), words, strict=False):
        if word.upper() == operator and before.endswith(",") == bool(comma):
            found.append([])
        else:
            found[-1].append(word)
    return _joined(operator, [_parts(part, operators[1:]) for part in found])


def _name(words: Sequence[str]) -> str:
    text = " ".join(words).rstrip(",")
    if not text or "," in text or len(words) > _MAX_WORDS:
        raise _ProseError
    return spdx_name(text)


def _joined(operator: str, nodes: Sequence[_Node]) -> _Node:
    parts: set[_Node] = set()
    for node in nodes:
        if isinstance(node, tuple) and node[0] == operator:
            parts |= node[1]
        else:
            parts.add(node)
    return parts.pop() if len(parts) == 1 else (operator, frozenset(parts))


def _text(node: _Node) -> str:
    """The expression; as deep as `_OPERATORS` are many, at most."""
    if isinstance(node, str):
        return node
    operator, parts = node
    return f" {operator} ".join(sorted(_text(part) if isinstance(part, str) else f"({_text(part)})" for part in parts))
