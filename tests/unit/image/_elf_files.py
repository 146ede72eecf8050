# SPDX-License-Identifier: MIT
"""Small ELF files made by hand: with a section, or with what a loader reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence

X86_64, AARCH64 = 62, 183


def _header(machine: int, *, programs: int = 0, sections_at: int = 0, sections: int = 0) -> bytes:
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, sections_at, 0, 64, 56, programs, 64, sections, max(sections - 1, 0)
    )


def with_section(name: str, content: bytes, machine: int = X86_64) -> bytes:
    names = b"\0" + name.encode() + b"\0.shstrtab\0"
    content_at = 64
    names_at = content_at + len(content)
    sections_at = names_at + len(names)
    table = bytes(64)
    table += struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, content_at, len(content), 0, 0, 1, 0)
    table += struct.pack("<IIQQQQIIQQ", 2 + len(name), 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    return _header(machine, sections_at=sections_at, sections=3) + content + names + table


def module(*lines: str) -> bytes:
    """A kernel module, as far as its dependencies go."""
    return with_section(".modinfo", b"".join(line.encode() + b"\0" for line in lines))


def program(needed: Sequence[str] = (), *, interpreter: str | None = None, machine: int = X86_64) -> bytes:
    """What the loader reads of a program or library, mapped at address 0."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    offsets = [strings.index(b"\0" + name.encode() + b"\0") + 1 for name in needed]
    loader = b"" if interpreter is None else interpreter.encode() + b"\0"
    count = 2 + bool(loader)
    loader_at = 64 + 56 * count
    strings_at = loader_at + len(loader)
    dynamic_at = strings_at + len(strings)
    tags = [(1, offset) for offset in offsets] + [(5, strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    total = dynamic_at + len(dynamic)

    def segment(kind: int, start: int, size: int) -> bytes:
        return struct.pack("<IIQQQQQQ", kind, 5, start, start, start, size, size, 1)

    segments = segment(1, 0, total) + segment(2, dynamic_at, len(dynamic))
    if loader:
        segments += segment(3, loader_at, len(loader))
    return _header(machine, programs=count) + segments + loader + strings + dynamic
