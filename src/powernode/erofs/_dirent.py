# SPDX-License-Identifier: MIT
"""Directory blocks: sorted names cut into blocks, one block encoded, and one that nobody vouches for taken apart.

Invariants: a block is an array of 12-byte entries followed by their names; entries and names never cross a block; the
rest after the last full block is inline behind the inode when it takes at most half a block.
Out of scope: where blocks lie; sorting (the caller's list is taken as it is).

    cuts, tail_size = cut(names)      # the last cut is the tail when tail_size > 0
    block = encode_block(entries[first:last])
"""

from __future__ import annotations

from collections.abc import Sequence

from powernode.base.errors import DataError
from powernode.erofs.format import BLOCK_SIZE, DIRENT, NAME_MAX


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
    return b"".join((*fixed, *(name for name, _, _ in entries)))


def split_block(nid: int, block: memoryview) -> list[tuple[bytes, int, int]]:
    """The entries of one directory block."""
    if len(block) < DIRENT.size:
        raise DataError("erofs.dirent-block", f"a block of directory {nid} is too short for an entry")
    first_name = DIRENT.unpack_from(block, 0)[1]
    if first_name % DIRENT.size or not DIRENT.size <= first_name < len(block):
        raise DataError(
            "erofs.dirent-block", f"a block of directory {nid} has an impossible size", found=str(first_name)
        )
    fixed = list(DIRENT.iter_unpack(block[:first_name]))
    text = bytes(block)
    # The last name has no successor to end it: it ends at the first NUL or with the block.
    last_end = text.find(b"\0", fixed[-1][1])
    ends = [name_offset for _, name_offset, _ in fixed[1:]]
    ends.append(len(text) if last_end < 0 else last_end)
    entries: list[tuple[bytes, int, int]] = []
    for (child, start, file_type), end in zip(fixed, ends, strict=True):
        if not first_name <= start < end <= len(text) or end - start > NAME_MAX:
            raise DataError(
                "erofs.dirent-name", f"a name in directory {nid} has an impossible place", found=f"{start}-{end}"
            )
        name = text[start:end]
        if b"/" in name or b"\0" in name:
            raise DataError("erofs.dirent-name", f"a name in directory {nid} cannot be a name", found=repr(name))
        entries.append((name, child, file_type))
    return entries
