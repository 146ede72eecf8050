# SPDX-License-Identifier: MIT
"""Debian's paragraphs of fields (deb822), read strictly: dpkg's status file and machine-readable copyright files.

Invariants: sizes and counts are limited; a field that comes twice, a line that belongs to no field and a name that is
none are refused. Field names are in lower case; the lines that continue a value follow it after newlines, without the
one character that marked them; lines that begin with # are comments and left out. Bytes that are not UTF-8 become
U+FFFD: who needs a value checks it.

Out of scope: signatures, which neither kind of file has.

    list(paragraphs(b"Package: bash\\nVersion: 5.2\\n", what="the status", max_bytes=1 << 20))
    # [{"package": "bash", "version": "5.2"}]
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from powernode.base.errors import DataError

__all__ = ["paragraphs"]

_CODE = "module.deb822"
_NAME = re.compile(r"[!$-,.-9;-~][!-9;-~]{0,127}", re.ASCII)
_MAX_PARAGRAPHS = 100_000


def paragraphs(data: bytes, *, what: str, max_bytes: int) -> Iterator[dict[str, str]]:
    """The paragraphs in their order; `what` names the file in refusals."""
    if len(data) > max_bytes:
        raise DataError(
            f"{_CODE}.size", f"{what} is too long", expected=f"at most {max_bytes} bytes", found=str(len(data))
        )
    lines: list[str] = []
    count = 0
    for line in (*data.decode("utf-8", "replace").split("\n"), ""):
        if line.startswith("#"):
            continue
        if line.strip(" \t\r"):
            lines.append(line)
        elif lines:
            count += 1
            if count > _MAX_PARAGRAPHS:
                raise DataError(f"{_CODE}.paragraphs", f"{what} has more than {_MAX_PARAGRAPHS} paragraphs")
            yield _fields(lines, what)
            lines = []


def _fields(lines: list[str], what: str) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line[0] in " \t":
            if not name:
                raise DataError(f"{_CODE}.line", f"a paragraph of {what} begins with a continuation", found=line[:80])
            values[name].append(line[1:].rstrip())
            continue
        label, colon, value = line.partition(":")
        name = label.lower()
        if not colon or not _NAME.fullmatch(label):
            raise DataError(f"{_CODE}.line", f"a line of {what} is no field", found=repr(line[:80]))
        if name in values:
            raise DataError(f"{_CODE}.twice", f"{label} is there twice in one paragraph of {what}")
        values[name] = [value.strip()]
    return {name: "\n".join(value) for name, value in values.items()}
