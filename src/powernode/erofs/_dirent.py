# SPDX-License-Identifier: MIT
"""Directory blocks: sorted names cut into blocks, and one block encoded.

Invariants: a block is an array of 12-byte entries followed by their names; entries and names never cross a block; the
rest after the last full block is inline behind the inode when it takes at most half a block.
Out of scope: where blocks lie; sorting (the caller's list is taken as it is).

    cuts, tail_size = cut(names)      # the last cut is the tail when tail_size > 0
    block = encode_block(entries[first:last])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from powernode.erofs.format import BLOCK_SIZE, DIRENT


def cut(names: Sequence[bytes]) -> tuple[list[tuple[int, int]], int]:
    """Ranges of names per block, filled greedily, and the size of the inline tail (0: every range is a block)."""
    ranges: list[tuple[int, int]] = []
    first = 0
    filled = 0
    for position, name in enumerate(names):
        size = DIRENT.size + len(name)
        if filled + size > BLOCK_SIZE:
            ranges.append((first, position))
            first, filled = position, 0
        filled += size
    if filled:
        ranges.append((first, len(names)))
    return ranges, filled if filled <= BLOCK_SIZE // 2 else 0


def directory_size(names: Sequence[bytes]) -> int:
    """What `i_size` says of a directory with these names, `.` and `..` among them."""
    ranges, tail_size = cut(names)
    return (len(ranges) - 1) * BLOCK_SIZE + tail_size if tail_size else len(ranges) * BLOCK_SIZE


def encode_block(entries: Sequence[tuple[bytes, int, int]]) -> bytes:
    """`(name, nid, file type)` entries as one block, not padded."""
    name_offset = len(entries) * DIRENT.size
    fixed: list[bytes] = []
    for name, nid, file_type in entries:
        fixed.append(DIRENT.pack(nid, name_offset, file_type))
        name_offset += len(name)
    return b"".join((*fixed, *names_of(entries)))


def names_of(entries: Iterable[tuple[bytes, int, int]]) -> Iterable[bytes]:
    return (name for name, _, _ in entries)
