# SPDX-License-Identifier: MIT
"""The first kilobytes of filesystems, with nothing behind them."""

from __future__ import annotations

import struct
import uuid

UUID = "6b9d1c0e-5a3f-4f0e-9a51-0d3c2b1a4f5e"


def ext4(
    label: str = "persist",
    *,
    size: int = 64 << 20,
    verity: bool = True,
    state: int = 1,
    mounts: int = 0,
    mounts_max: int = -1,
    written_s: int = 1_700_000_000,
) -> bytes:
    block = bytearray(1024)
    blocks = size // 4096
    struct.pack_into("<I", block, 0x4, blocks & 0xFFFFFFFF)
    struct.pack_into("<I", block, 0x18, 2)
    struct.pack_into("<I", block, 0x30, written_s)
    struct.pack_into("<HhHH", block, 0x34, mounts, mounts_max, 0xEF53, state)
    struct.pack_into("<III", block, 0x5C, 0x4, 0x80, 0x400 | (0x8000 if verity else 0))
    block[0x68:0x78] = uuid.UUID(UUID).bytes
    block[0x78:0x88] = label.encode().ljust(16, b"\0")
    struct.pack_into("<I", block, 0x150, blocks >> 32)
    return (bytes(1024) + bytes(block)).ljust(4096, b"\0")


def fat32(label: str = "BOOT", *, root_label: str | None = None) -> bytes:
    sector = bytearray(512)
    struct.pack_into("<HBHBHH", sector, 11, 512, 1, 4, 1, 0, 0)
    struct.pack_into("<II", sector, 32, 4096, 8)
    struct.pack_into("<I", sector, 44, 2)
    sector[67:71] = bytes.fromhex("3412cdab")
    sector[71:82] = label.encode().ljust(11)
    sector[82:90] = b"FAT32   "
    sector[510:512] = b"\x55\xaa"
    image = bytearray(16 << 10)
    image[:512] = sector
    if root_label is not None:
        image[12 * 512 : 12 * 512 + 12] = root_label.encode().ljust(11) + b"\x08"
    return bytes(image)
