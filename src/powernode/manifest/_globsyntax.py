# SPDX-License-Identifier: MIT
"""The syntax of one glob: text in, elements out, or a refusal that says what to write instead.

Invariants of a parsed glob: the first byte was `/`; no empty, `.` or `..` component; no element but `**` can match
`/`; a trailing `/` became `subtree` (`/` alone is the subtree of no elements).

Out of scope: matching (`_globmachine`, `globs`) and what the globs are for.

    parse_glob("/etc/redis/*.conf").elements      # (47, 101, 116, 99, 47, ..., Star.NAME, 46, 99, ...)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from powernode.base.errors import DataError

SLASH = 0x2F
MAX_GLOB_BYTES = 4096
"""PATH_MAX: a longer pattern could only match paths that no kernel opens."""

_ALL_BYTES = frozenset(range(256))
ANY_NAME_BYTE = _ALL_BYTES - {SLASH}
_ASCII = range(128)
_NAMED_CLASSES: dict[bytes, frozenset[int]] = {
    b"alnum": frozenset(c for c in _ASCII if chr(c).isalnum()),
    b"alpha": frozenset(c for c in _ASCII if chr(c).isalpha()),
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset([*range(32), 127]),
    b"digit": frozenset(b"0123456789"),
    b"graph": frozenset(range(33, 127)),
    b"lower": frozenset(range(ord("a"), ord("z") + 1)),
    b"print": frozenset(range(32, 127)),
    b"punct": frozenset(c for c in range(33, 127) if not chr(c).isalnum()),
    b"space": frozenset(b" \t\n\r\f\v"),
    b"upper": frozenset(range(ord("A"), ord("Z") + 1)),
    b"xdigit": frozenset(b"0123456789abcdefABCDEF"),
}


class Star(Enum):
    """`*` stays within a name, `**` crosses `/`; both match the empty string too."""

    NAME = "*"
    PATH = "**"


Element = int | frozenset[int] | Star
"""A literal byte, a set of bytes, or a star."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob:
    """`subtree`: the pattern ended in `/`, so it matches a directory and everything below it."""

    text: str
    elements: tuple[Element, ...]
    subtree: bool


def parse_glob(pattern: str | bytes) -> Glob:
    """Read one pattern; text is encoded as UTF-8, undecodable file names as Python's `os.fsencode` would."""
    try:
        raw = pattern.encode("utf-8", "surrogateescape") if isinstance(pattern, str) else pattern
    except UnicodeEncodeError:  # JSON can say "\\ud800"
        raise _refusal(
            "encoding", str(pattern), "holds half a character", expected="text that UTF-8 can hold"
        ) from None
    text = raw.decode("utf-8", "backslashreplace")
    if not raw.startswith(b"/"):
        hint = "globs cannot be negated; what is left out goes into `mask`" if raw.startswith(b"!") else None
        raise _refusal("anchor", text, "is not anchored", expected="a pattern that begins with /", hint=hint)
    if len(raw) > MAX_GLOB_BYTES:
        raise _refusal("length", text[:60] + "…", "is too long", expected=f"at most {MAX_GLOB_BYTES} bytes")
    if 0 in raw:
        raise _refusal("nul", text, "contains a NUL byte, which no path can")
    if raw == b"/":
        return Glob(text=text, elements=(), subtree=True)
    elements = _read_elements(raw, text)
    subtree = elements[-1] == SLASH
    if subtree:
        elements.pop()
    _check_components(elements, text)
    return Glob(text=text, elements=tuple(elements), subtree=subtree)


def _read_elements(raw: bytes, text: str) -> list[Element]:
    elements: list[Element] = []
    at = 0
    while at < len(raw):
        byte = raw[at : at + 1]
        if byte == b"*":
            end = at
            while raw[end : end + 1] == b"*":
                end += 1
            if end - at > 2:
                raise _refusal(
                    "stars", text, "has more than two stars in a row", hint="for a directory with all below end it in /"
                )
            elements.append(Star.NAME if end - at == 1 else Star.PATH)
            at = end
        elif byte == b"?":
            elements.append(ANY_NAME_BYTE)
            at += 1
        elif byte == b"[":
            members, at = _read_class(raw, at, text)
            elements.append(members)
        elif byte == b"\\":
            escaped = raw[at + 1 : at + 2]
            if escaped in (b"", b"/"):
                raise _refusal("escape", text, "has a backslash that escapes nothing", hint=r"write \\ for a backslash")
            elements.append(escaped[0])
            at += 2
        else:
            elements.append(byte[0])
            at += 1
    return elements


def _read_class(raw: bytes, at: int, text: str) -> tuple[frozenset[int], int]:
    """The class that opens at `at`, and where it ends. A `]` right behind the opening is a member."""
    first = at + 1
    negated = raw[first : first + 1] in (b"!", b"^")
    first += negated
    members: set[int] = set()
    position = first
    while True:
        if raw[position : position + 2] == b"[:":
            end = raw.find(b":]", position + 2)
            named = _NAMED_CLASSES.get(raw[position + 2 : end]) if end >= 0 else None
            if named is None:
                raise _refusal("class", text, "names an unknown class of characters", expected=_known_classes())
            members |= named
            position = end + 2
            continue
        low, position, escaped = _read_member(raw, position, text)
        if low == ord("]") and not escaped and position - 1 > first:
            break
        high = low
        if raw[position : position + 1] == b"-" and raw[position + 1 : position + 2] != b"]":
            high, position, _ = _read_member(raw, position + 1, text)
            if high < low:
                raise _refusal("class", text, "has a range that runs backwards")
        members.update(range(low, high + 1))
    if SLASH in members and not negated:
        # `[+-9]` holds `/` by accident of ASCII; rsync never lets a class match it either.
        members.discard(SLASH)
    chosen = ANY_NAME_BYTE - members if negated else frozenset(members)
    if not chosen:
        raise _refusal("class", text, "has a class that nothing can match")
    return chosen, position


def _read_member(raw: bytes, position: int, text: str) -> tuple[int, int, bool]:
    escaped = raw[position : position + 1] == b"\\"
    position += escaped
    if position >= len(raw):
        raise _refusal("class", text, "has a [ that is never closed", hint=r"write \[ for a bracket")
    member = raw[position]
    if member == SLASH:
        raise _refusal("class", text, "has a / in a class, where it can never match")
    if member >= 128:
        raise _refusal(
            "class", text, "has a non-ASCII character in a class", hint="a class matches one byte; write two patterns"
        )
    return member, position + 1, escaped


def _check_components(elements: list[Element], text: str) -> None:
    component: list[Element] = []
    for element in [*elements[1:], SLASH]:
        if element != SLASH:
            component.append(element)
            continue
        if not component:
            raise _refusal("component", text, "has an empty component", expected="one / between two names")
        if component in ([ord(".")], [ord("."), ord(".")]):
            raise _refusal("component", text, "has a . or .. component", expected="names from the root down")
        component = []


def _known_classes() -> str:
    return ", ".join(f"[:{name.decode()}:]" for name in sorted(_NAMED_CLASSES))


def _refusal(code: str, text: str, problem: str, *, expected: str | None = None, hint: str | None = None) -> DataError:
    return DataError(f"glob.{code}", f"the glob {text!r} {problem}", expected=expected, hint=hint)
