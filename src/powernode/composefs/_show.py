# SPDX-License-Identifier: MIT
"""Paths as text. Paths are bytes that strangers chose, and what is said about them ends up on terminals.

shown(b"/etc/\\x1b[2J")      # '/etc/\\x1b[2J', eight letters and no command to the terminal
"""

from __future__ import annotations

from powernode.base.text import clean


def decoded(path: bytes) -> str:
    """Reversible text: `os.fsdecode` for UTF-8, without asking the environment."""
    return path.decode("utf-8", "surrogateescape")


def shown(path: bytes) -> str:
    """Text for people."""
    return clean(path)
