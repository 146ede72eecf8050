# SPDX-License-Identifier: MIT
"""Sizes as they are printed."""

from __future__ import annotations


def amount(size: int) -> str:
    """A number of bytes."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:,.1f} kB" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"
