# SPDX-License-Identifier: MIT
"""The fields of a line of dump text: strings, numbers, times, digests, attributes.

Invariants: what is accepted, and as what, is what the C tools make of it; every refusal is a `DataError` with a code
`dump.…` and the number of the line.
Out of scope: which field comes where, and what they make together (see `_dump_parse`).

    read_number(b"0755", "mode", 3, base=8)
"""

from __future__ import annotations

import re

from powernode.base.errors import DataError
from powernode.composefs import _kinds
from powernode.composefs.tree import Xattrs

UINT32_MAX = 0xFFFFFFFF
_UINT64_MAX = 0xFFFFFFFFFFFFFFFF
_XATTRS_LINE_MAX = 65535
_FOUND_MAX = 200
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[\\nrt]|)")
_PLAIN_ESCAPES = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_DECIMAL = re.compile(rb"[\t\v\f\r]*([+-]?)([0-9]+)")
_OCTAL = re.compile(rb"[\t\v\f\r]*([+-]?)([0-7]+)")
_DIGEST = re.compile(rb"[0-9a-fA-F]{64}")


def unescape(text: bytes, line: int) -> bytes:
    """Undo `\\\\`, `\\n`, `\\r`, `\\t` and `\\xHH`."""
    if b"\\" not in text:
        return text

    def replace(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if not code:
            rest = text[match.start() : match.start() + 4]
            raise refuse("escape", line, "an escape is not one of \\\\ \\n \\r \\t \\xHH", found=repr(rest))
        return bytes((int(code[1:], 16),)) if code[:1] == b"x" else _PLAIN_ESCAPES[code]

    return _ESCAPE.sub(replace, text)


def read_string(text: bytes, line: int, what: str) -> bytes:
    """A field that is a string of the filesystem, which a NUL would end."""
    plain = unescape(text, line)
    if b"\0" in plain:
        raise refuse("nul-escape", line, f"the {what} holds a NUL", found=repr(plain))
    return plain


def read_number(text: bytes, name: str, line: int, *, base: int = 10) -> int:
    """As strtoull reads it: blanks and a sign may lead, a minus wraps, and what is too large becomes 2^64 - 1."""
    if not text:
        raise refuse("field-missing", line, f"the {name} is missing")
    match = (_DECIMAL if base == 10 else _OCTAL).fullmatch(text)
    if match is None:
        raise refuse("number", line, f"the {name} is not a number of base {base}", found=repr(text[:40]))
    digits = match[2].lstrip(b"0")
    value = int(digits or b"0", base) if len(digits) <= 22 else _UINT64_MAX
    if value >= _UINT64_MAX:
        return _UINT64_MAX
    return -value & _UINT64_MAX if match[1] == b"-" else value


def read_mtime(text: bytes, line: int) -> tuple[int, int]:
    seconds_text, _, nanoseconds_text = text.partition(b".")
    seconds = read_number(seconds_text, "mtime", line)
    if not _DECIMAL.fullmatch(nanoseconds_text):
        raise refuse("mtime", line, "the mtime is not seconds.nanoseconds", found=repr(text[:40]))
    nanoseconds = read_number(nanoseconds_text, "mtime", line)
    return seconds - (seconds >> 63 << 64), nanoseconds & UINT32_MAX


def read_digest(text: bytes, line: int) -> bytes | None:
    if text == b"-":
        return None
    digest = unescape(text, line)
    if not _DIGEST.fullmatch(digest):
        raise refuse("digest", line, "the digest is not SHA-256 in hexadecimal", found=repr(digest))
    return bytes.fromhex(digest.decode("ascii"))


def read_xattrs(text: bytes, line: int) -> Xattrs:
    if not text:
        return ()
    if len(text) > _XATTRS_LINE_MAX:
        raise refuse(
            "xattr-text", line, "the attributes of one line are too long", expected=f"at most {_XATTRS_LINE_MAX}"
        )
    pairs: dict[bytes, bytes] = {}
    total = largest = 12
    for item in text.removesuffix(b" ").split(b" "):
        name, equals, value = item.partition(b"=")
        if not equals:
            raise refuse("xattr-equals", line, "an attribute has no =", found=repr(item))
        plain = read_string(name, line, "name of an attribute")
        plain_value = unescape(value, line)
        if not 0 < len(plain) <= _kinds.XATTR_NAME_MAX:
            raise refuse("xattr-name", line, "this cannot be the name of an attribute", found=repr(plain))
        # The limit holds on the way, too: whoever sets one attribute after the other would meet it there.
        replaced = pairs.get(plain)
        total += 7 + len(plain) + len(plain_value) if replaced is None else len(plain_value) - len(replaced)
        largest = max(largest, total)
        pairs[plain] = plain_value
    if largest > _kinds.XATTRS_SIZE_MAX:
        raise refuse(
            "xattr-total",
            line,
            "the attributes are too large",
            expected=f"at most {_kinds.XATTRS_SIZE_MAX} bytes",
            found=str(largest),
        )
    return tuple(sorted(pairs.items()))


def refuse(code: str, line: int, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    """What is wrong with a line. A stranger's text is shown in part only: it can be megabytes."""
    if found is not None and len(found) > _FOUND_MAX:
        found = found[:_FOUND_MAX] + "…"
    return DataError(f"dump.{code}", f"line {line}: {message}", expected=expected, found=found)
