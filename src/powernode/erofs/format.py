# SPDX-License-Identifier: MIT
"""The structures and constants of EROFS that we write and accept.

Invariants: every integer is little-endian; the names are those of the kernel's `fs/erofs/erofs_fs.h` without the
prefix.
Out of scope: compression, devices, fragments, long xattr prefixes; the reader refuses what would need them.

    SUPERBLOCK.pack_into(image, SUPERBLOCK_OFFSET, SUPERBLOCK_MAGIC, ...)
"""

from __future__ import annotations

import stat
from struct import Struct
from typing import NamedTuple

BLOCK_BITS = 12
BLOCK_SIZE = 1 << BLOCK_BITS
SLOT_SIZE = 32
"""Inodes start on slots; a nid is the number of the slot, counted from `meta_blkaddr`."""

SUPERBLOCK_OFFSET = 1024
"""The bytes before belong to whoever uses the image (boot sectors; composefs keeps its header there)."""
SUPERBLOCK_MAGIC = 0xE0F5E1E2
SUPERBLOCK = Struct("<IIIBBHQqIIII16s16sIHHHBBIQB23x")

INODES_OFFSET = SUPERBLOCK_OFFSET + SUPERBLOCK.size


class Superblock(NamedTuple):
    """The fields of `SUPERBLOCK`, in order."""

    magic: int
    checksum: int
    feature_compat: int
    block_bits: int
    extension_slots: int
    root_nid: int
    inode_count: int
    build_time_s: int
    build_time_ns: int
    block_count: int
    meta_block: int
    xattr_block: int
    uuid: bytes
    volume_name: bytes
    feature_incompat: int
    algorithms: int
    extra_devices: int
    device_table: int
    directory_block_bits: int
    xattr_prefix_count: int
    xattr_prefix_start: int
    packed_nid: int
    xattr_filter_reserved: int


COMPAT_MTIME = 0x2
COMPAT_XATTR_FILTER = 0x4
INCOMPAT_CHUNKED = 0x4
"""Announces chunk-based files. composefs uses them unannounced; announcing them is what the kernel would like."""

COMPACT_INODE = Struct("<HHHHIIIIHHI")
"""format xattr_icount mode nlink size reserved u ino uid gid reserved"""
EXTENDED_INODE = Struct("<HHHHQIIIIqII16x")
"""format xattr_icount mode reserved size u ino uid gid mtime mtime_nsec nlink"""

LAYOUT_PLAIN = 0
LAYOUT_INLINE = 2
LAYOUT_CHUNKED = 4
"""Data layouts; 1 and 3 are compressed. `format` is `layout << 1 | is_extended`."""

CHUNK_BITS_MASK = 0x1F
"""In a chunk-based inode the low 16 bits of `u` say log2(chunk size) - 12; other bits would announce other tables."""
CHUNKS_MAX = 1024
"""The table has to fit one block."""
NULL_ADDRESS = b"\xff\xff\xff\xff"
"""A chunk without a block: reads as zeros."""

DIRENT = Struct("<QHBx")
"""nid nameoff file_type"""
NAME_MAX = 255

XATTR_HEADER = Struct("<IB7x")
"""name_filter shared_count; shared_count four-byte indices and the inline entries follow."""
XATTR_ENTRY = Struct("<BBH")
"""name_len name_index value_size; the rest of the name and the value follow, padded to four bytes."""
XATTR_SHARED_MAX = 128
XATTR_FILTER_SEED = 0x25BBE08F

FILE_TYPES = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}
"""The type in a directory entry, by the type bits of the mode."""
TYPE_MASK = 0o170000


def round_up(value: int, multiple: int) -> int:
    """The next multiple of a power of two."""
    return (value + multiple - 1) & -multiple
