# SPDX-License-Identifier: MIT
"""Extended attributes: entries, the table of shared ones, and the body behind an inode.

Invariants: a (name, value) pair that several inodes hold, or one inode and another, is stored once in the shared
table; that table descends by name, then value length, then value; within an inode both the shared indices and the
inline entries ascend by name; at most 128 are referenced per inode and the rest are written inline.
Out of scope: reading (see `_reader`), long prefixes, the meaning of names.

    shared = share(inode.xattrs for inode in inodes)
    body = shared.encode(inode.xattrs, table_offset=inodes_end % BLOCK_SIZE)
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from powernode.erofs._xxh32 import xxh32
from powernode.erofs.format import (
    XATTR_ENTRY,
    XATTR_FILTER_SEED,
    XATTR_HEADER,
    XATTR_SHARED_MAX,
    round_up,
)

Pair = tuple[bytes, bytes]

PREFIXES: tuple[tuple[int, bytes], ...] = (
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
)
"""What a name index stands for. 5 (`lustre.`) is known to readers and not used by writers."""


@lru_cache(maxsize=4096)
def split_name(name: bytes) -> tuple[int, bytes]:
    """The name index and what is left of the name; index 0 keeps the whole name."""
    for index, prefix in PREFIXES:
        if name.startswith(prefix):
            return index, name[len(prefix) :]
    return 0, name


@lru_cache(maxsize=4096)
def stored_filter_bit(index: int, suffix: bytes) -> int:
    """The bit of the name filter that says: this name may be here. Depends on how the name is stored."""
    return 1 << (xxh32(suffix, XATTR_FILTER_SEED + index) & 31)


def filter_bit(name: bytes) -> int:
    """The same for a name as a writer stores it."""
    return stored_filter_bit(*split_name(name))


def name_filter(xattrs: Iterable[Pair]) -> int:
    """A Bloom filter, inverted: a set bit proves that no name with that hash is present."""
    present = 0
    for name, _ in xattrs:
        present |= filter_bit(name)
    return 0xFFFFFFFF & ~present


def entry_size(name: bytes, value: bytes) -> int:
    return round_up(XATTR_ENTRY.size + len(split_name(name)[1]) + len(value), 4)


def encode_entry(name: bytes, value: bytes) -> bytes:
    index, suffix = split_name(name)
    entry = XATTR_ENTRY.pack(len(suffix), index, len(value)) + suffix + value
    return entry.ljust(round_up(len(entry), 4), b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedXattrs:
    """The shared table and where each pair lies in it."""

    offsets: Mapping[Pair, int]
    table: bytes

    def split(self, xattrs: tuple[Pair, ...]) -> tuple[list[Pair], list[Pair]]:
        """Those an inode refers to and those it carries, each in the order given."""
        referenced: list[Pair] = []
        carried: list[Pair] = []
        for pair in xattrs:
            is_shared = pair in self.offsets and len(referenced) < XATTR_SHARED_MAX
            (referenced if is_shared else carried).append(pair)
        return referenced, carried

    def body_size(self, xattrs: tuple[Pair, ...]) -> int:
        if not xattrs:
            return 0
        referenced, carried = self.split(xattrs)
        return XATTR_HEADER.size + 4 * len(referenced) + sum(entry_size(*pair) for pair in carried)

    def encode(self, xattrs: tuple[Pair, ...], *, table_offset: int) -> bytes:
        """The body; `table_offset` is the distance from `xattr_blkaddr` to the shared table."""
        if not xattrs:
            return b""
        referenced, carried = self.split(xattrs)
        indices = [(table_offset + self.offsets[pair]) // 4 for pair in referenced]
        return b"".join(
            (
                XATTR_HEADER.pack(name_filter(xattrs), len(referenced)),
                struct.pack(f"<{len(indices)}I", *indices),
                *(encode_entry(*pair) for pair in carried),
            )
        )


def share(xattrs_of_inodes: Iterable[Iterable[Pair]]) -> SharedXattrs:
    """Find the pairs that occur more than once and lay out their table."""
    counts: Counter[Pair] = Counter()
    for xattrs in xattrs_of_inodes:
        counts.update(xattrs)
    shared = [pair for pair, count in counts.items() if count > 1]
    shared.sort(key=lambda pair: (pair[0], len(pair[1]), pair[1]), reverse=True)
    offsets: dict[Pair, int] = {}
    parts: list[bytes] = []
    at = 0
    for pair in shared:
        offsets[pair] = at
        parts.append(encode_entry(*pair))
        at += len(parts[-1])
    return SharedXattrs(offsets=offsets, table=b"".join(parts))
