# SPDX-License-Identifier: MIT
"""ELF files of nothing but what a loader reads first."""

from __future__ import annotations

import struct
from collections.abc import Sequence

BASE = 0x400000


def elf(
    *,
    interpreter: str | None = None,
    needed: Sequence[str] = (),
    runpath: str | None = None,
    machine: int = 62,
    size: int = 0,
) -> bytes:
    """A 64-bit little-endian file with one segment; `size` fills it up so that it becomes an object of a store."""
    names = [*needed, *([runpath] if runpath is not None else [])]
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    offsets = [strings.index(b"\0" + name.encode() + b"\0") + 1 for name in names]
    headers = 2 + (interpreter is not None)
    at = 64 + 56 * headers
    path = b"" if interpreter is None else interpreter.encode() + b"\0"
    string_at = at + len(path)
    tags = [(1, offset) for offset in offsets[: len(needed)]]
    if runpath is not None:
        tags.append((29, offsets[-1]))
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in [*tags, (5, BASE + string_at), (0, 0)])
    dynamic_at = string_at + len(strings)
    total = max(size, dynamic_at + len(dynamic))
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    table = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, total, total, 4096)
    table += struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, BASE + dynamic_at, 0, len(dynamic), len(dynamic), 8)
    if interpreter is not None:
        table += struct.pack("<IIQQQQQQ", 3, 4, at, BASE + at, 0, len(path), len(path), 1)
    return (head + table + path + strings + dynamic).ljust(total, b"\0")
