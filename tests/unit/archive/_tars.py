# SPDX-License-Identifier: MIT
"""Tar archives as somebody hostile would write them: any header, with a checksum that fits."""

from __future__ import annotations

END = bytes(1024)


def block(
    name: bytes = b"f",
    *,
    kind: bytes = b"0",
    size: int = 0,
    target: bytes = b"",
    mode: bytes = b"0000644\0",
    number: bytes | None = None,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
) -> bytes:
    """One header block; `number` replaces the field of the size."""
    data = bytearray(512)
    data[: len(name)] = name
    data[100:108] = mode
    data[108:116] = data[116:124] = b"0000000\0"
    data[124:136] = number or b"%011o\0" % size
    data[136:148] = b"%011o\0" % 0
    data[156:157] = kind
    data[157 : 157 + len(target)] = target
    data[257:265] = magic
    data[345 : 345 + len(prefix)] = prefix
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def content(data: bytes, name: bytes = b"f") -> bytes:
    return block(name, size=len(data)) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    while len(b"%d" % size) + len(key) + len(value) + 3 != size:
        size = len(b"%d" % size) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (size, key, value)


def extended(data: bytes, kind: bytes = b"x") -> bytes:
    return block(b"header", kind=kind, size=len(data)) + padded(data)
