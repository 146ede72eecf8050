# SPDX-License-Identifier: MIT
"""Paths as text. Paths are bytes that strangers chose, and what is said about them ends up on terminals.

shown(b"/etc/\\x1b[2J")      # '/etc/\\x1b[2J', eight letters and no command to the terminal
"""

from __future__ import annotations


def decoded(path: bytes) -> str:
    """Reversible text: `os.fsdecode` for UTF-8, without asking the environment."""
    return path.decode("utf-8", "surrogateescape")


def shown(path: bytes) -> str:
    """Text for people: what does not print is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
