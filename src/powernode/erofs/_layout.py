# SPDX-License-Identifier: MIT
"""Where every inode goes: pure arithmetic over sizes.

An inode is its fixed part, its xattr body and its *tail*: the last part of its data, which the format allows behind the
inode as long as that part does not cross a block boundary. Everything that is not tail is whole blocks elsewhere.

Invariants: inodes start on 32-byte slots in list order; a tail lies in one block; a symlink lies in one block together
with its target. The rules are a fixed point of compatibility: another choice would be another digest.
Out of scope: contents. See `_writer` for the bytes.

    placement = place(at, inode_size=32, xattr_size=0, blocks=0, tail_size=27, is_symlink=False)
"""

from __future__ import annotations

from dataclasses import dataclass

from powernode.erofs.format import BLOCK_BITS, BLOCK_SIZE, CHUNK_BITS_MASK, SLOT_SIZE, round_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One placed inode. `blocks` are data blocks elsewhere; `tail_size` bytes follow the xattr body."""

    offset: int
    inode_size: int
    xattr_size: int
    blocks: int
    tail_size: int

    @property
    def tail_offset(self) -> int:
        return self.offset + self.inode_size + self.xattr_size

    @property
    def end(self) -> int:
        return self.tail_offset + self.tail_size


def flat_shape(size: int) -> tuple[int, int]:
    """Blocks and tail of `size` bytes of file content: a rest of more than half a block becomes a block."""
    blocks, tail_size = divmod(size, BLOCK_SIZE)
    return (blocks + 1, 0) if tail_size > BLOCK_SIZE // 2 else (blocks, tail_size)


def chunk_bits(size: int) -> int:
    """log2 of the chunk size for an unmapped file: one chunk if the format can say it."""
    return min(max(BLOCK_BITS, (size - 1).bit_length()), BLOCK_BITS + CHUNK_BITS_MASK)


def chunk_count(size: int) -> int:
    return -(-size >> chunk_bits(size))


def place(after: int, *, inode_size: int, xattr_size: int, blocks: int, tail_size: int, is_symlink: bool) -> Placement:
    """Put one inode behind `after`, padding so that its tail stays inside a block."""
    offset = round_up(after, SLOT_SIZE)
    if is_symlink:
        total = inode_size + xattr_size + tail_size
        crosses = offset // BLOCK_SIZE != (offset + total - 1) // BLOCK_SIZE
        if total >= BLOCK_SIZE:
            blocks, tail_size = blocks + 1, 0
        if crosses:
            # Decided with the target even where it has just been moved out: the C tool does, so the bytes must.
            offset = round_up(offset, BLOCK_SIZE)
    else:
        room = BLOCK_SIZE - (offset + inode_size + xattr_size) % BLOCK_SIZE
        if room < tail_size:
            padding = round_up(room, SLOT_SIZE)
            room = BLOCK_SIZE - (offset + inode_size + xattr_size + padding) % BLOCK_SIZE
            if room < tail_size:
                blocks, tail_size = blocks + 1, 0
                offset = round_up(offset, BLOCK_SIZE)
            else:
                offset += padding
    return Placement(offset=offset, inode_size=inode_size, xattr_size=xattr_size, blocks=blocks, tail_size=tail_size)
