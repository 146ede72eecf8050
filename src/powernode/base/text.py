# SPDX-License-Identifier: MIT
"""Text for people, of whatever was found.

Invariant: nothing that a terminal would act on comes out: what does not print is escaped.

    clean("\\x1b[2J")       # "\\\\x1b[2J"
"""

from __future__ import annotations

__all__ = ["clean"]


def clean(text: str | bytes, *, lines: bool = False) -> str:
    """`lines` lets line ends and tabs through, for what has several lines on purpose."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or (lines and each in "\n\t") else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
