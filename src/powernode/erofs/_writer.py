# SPDX-License-Identifier: MIT
"""A list of inodes as an EROFS image.

The image is: the caller's header, the superblock at 1024, the inodes in list order, the shared xattr table, and from
the next block boundary the data blocks in inode order.

Invariants: the same list gives the same bytes; inode 0 is the root; directory entries are written in the order given;
`build_time` is the smallest mtime, so that most inodes of a reproducible tree can be compact.
Out of scope: sorting, link counts, overlayfs attributes (all the caller's), compression, mapped chunks.

    write_erofs([Inode(mode=0o40755, nlink=2, entries=((b".", 0), (b"..", 0)))])
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.erofs import _dirent, _layout
from powernode.erofs._xattr import Pair, SharedXattrs, share
from powernode.erofs.format import (
    BLOCK_BITS,
    BLOCK_SIZE,
    COMPACT_INODE,
    COMPAT_MTIME,
    COMPAT_XATTR_FILTER,
    EXTENDED_INODE,
    FILE_TYPES,
    INODES_OFFSET,
    LAYOUT_CHUNKED,
    LAYOUT_INLINE,
    LAYOUT_PLAIN,
    NULL_ADDRESS,
    SLOT_SIZE,
    SUPERBLOCK,
    SUPERBLOCK_MAGIC,
    SUPERBLOCK_OFFSET,
    TYPE_MASK,
    XATTR_HEADER,
    round_up,
)

UINT16_MAX = 0xFFFF
UINT32_MAX = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Inode:
    """What one inode says; which of `data`, `hole_size`, `entries` and `rdev` counts depends on the type in `mode`.

    `data` is the target of a symlink or the content of a file. A file with `hole_size` has no data in the image at all:
    it is `hole_size` bytes of unmapped chunks. `entries` are `(name, index in the list)` with `.` and `..`. `is_wide`
    makes it an extended inode whatever its values are.
    """

    mode: int
    nlink: int = 1
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0
    mtime_ns: int = 0
    xattrs: tuple[Pair, ...] = ()
    data: bytes = b""
    hole_size: int = 0
    entries: Sequence[tuple[bytes, int]] = ()
    rdev: int = 0
    is_wide: bool = False


def write_erofs(inodes: Sequence[Inode], *, header: bytes = b"") -> bytes:
    """The image of `inodes`; `header` (at most 1024 bytes) goes in front of the superblock."""
    build_time = min((inode.mtime_s, inode.mtime_ns) for inode in inodes)
    shared = share(inode.xattrs for inode in inodes)
    placements = _place_all(inodes, build_time, shared)
    inodes_end = round_up(placements[-1].end, SLOT_SIZE)
    first_block = round_up(inodes_end + len(shared.table), BLOCK_SIZE) >> BLOCK_BITS
    block_count = first_block + sum(placement.blocks for placement in placements)
    if block_count > UINT32_MAX or _nid(placements[0]) > UINT16_MAX:
        raise DataError("erofs.image-size", "the tree does not fit into an EROFS image of 4096-byte blocks")

    image = bytearray(block_count << BLOCK_BITS)
    image[: len(header)] = header
    _write_superblock(
        image,
        root_nid=_nid(placements[0]),
        inode_count=len(inodes),
        build_time=build_time,
        block_count=block_count,
        xattr_block=inodes_end >> BLOCK_BITS,
    )
    image[inodes_end : inodes_end + len(shared.table)] = shared.table

    bodies: dict[tuple[Pair, ...], bytes] = {(): b""}
    nids = [_nid(placement) for placement in placements]
    types = [FILE_TYPES[inode.mode & TYPE_MASK] for inode in inodes]
    next_block = first_block
    for number, (inode, placement) in enumerate(zip(inodes, placements, strict=True)):
        body = bodies.get(inode.xattrs)
        if body is None:
            body = shared.encode(inode.xattrs, table_offset=inodes_end % BLOCK_SIZE)
            bodies[inode.xattrs] = body
        _write_inode(image, inode, placement, number, body, next_block)
        if placement.blocks or placement.tail_size:
            blocks, tail = _split_data(inode, placement, nids, types)
            image[placement.tail_offset : placement.end] = tail
            for block in blocks:
                image[next_block << BLOCK_BITS : (next_block << BLOCK_BITS) + len(block)] = block
                next_block += 1
    return bytes(image)


def _nid(placement: _layout.Placement) -> int:
    return placement.offset // SLOT_SIZE


def _place_all(inodes: Sequence[Inode], build_time: tuple[int, int], shared: SharedXattrs) -> list[_layout.Placement]:
    placements: list[_layout.Placement] = []
    body_sizes: dict[tuple[Pair, ...], int] = {(): 0}
    at = INODES_OFFSET
    for inode in inodes:
        xattr_size = body_sizes.get(inode.xattrs)
        if xattr_size is None:
            xattr_size = body_sizes[inode.xattrs] = shared.body_size(inode.xattrs)
            if xattr_size > UINT16_MAX * 4:
                raise DataError("erofs.xattr-size", "the extended attributes of one inode take more than 256 KiB")
        blocks, tail_size = _shape(inode)
        placement = _layout.place(
            at,
            inode_size=_inode_size(inode, build_time, blocks * BLOCK_SIZE + tail_size),
            xattr_size=xattr_size,
            blocks=blocks,
            tail_size=tail_size,
            is_symlink=stat.S_ISLNK(inode.mode),
        )
        placements.append(placement)
        at = placement.end
    return placements


def _shape(inode: Inode) -> tuple[int, int]:
    """Whole blocks and tail bytes before placement."""
    if inode.entries:
        ranges, tail_size = _dirent.cut([name for name, _ in inode.entries])
        return (len(ranges) - 1, tail_size) if tail_size else (len(ranges), 0)
    if stat.S_ISLNK(inode.mode):
        return 0, len(inode.data)
    if inode.hole_size:
        return 0, _layout.chunk_count(inode.hole_size) * len(NULL_ADDRESS)
    return _layout.flat_shape(len(inode.data))


def _inode_size(inode: Inode, build_time: tuple[int, int], directory_size: int) -> int:
    """Compact where nothing would be lost: the mtime is the image's, and the numbers fit 16 bits."""
    is_compact = (
        not inode.is_wide
        and (inode.mtime_s, inode.mtime_ns) == build_time
        and inode.nlink <= UINT16_MAX
        and inode.uid <= UINT16_MAX
        and inode.gid <= UINT16_MAX
        and (directory_size if inode.entries else inode.hole_size) <= UINT32_MAX
    )
    return COMPACT_INODE.size if is_compact else EXTENDED_INODE.size


def _write_superblock(
    image: bytearray,
    *,
    root_nid: int,
    inode_count: int,
    build_time: tuple[int, int],
    block_count: int,
    xattr_block: int,
) -> None:
    """feature_incompat stays 0 although chunk-based inodes are used, as the C tool leaves it."""
    compat = COMPAT_MTIME | COMPAT_XATTR_FILTER
    SUPERBLOCK.pack_into(
        image,
        SUPERBLOCK_OFFSET,
        *(SUPERBLOCK_MAGIC, 0, compat, BLOCK_BITS, 0, root_nid, inode_count, *build_time),
        *(block_count, 0, xattr_block, b"", b"", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    )


def _write_inode(
    image: bytearray, inode: Inode, placement: _layout.Placement, number: int, body: bytes, next_block: int
) -> None:
    """The fixed part and the xattr body."""
    size = len(inode.data)
    layout = LAYOUT_INLINE if placement.tail_size else LAYOUT_PLAIN
    union = next_block if placement.blocks else 0
    if inode.entries:
        size = placement.blocks * BLOCK_SIZE + placement.tail_size
    elif inode.hole_size:
        size = inode.hole_size
        layout = LAYOUT_CHUNKED
        # A chunk table that had to move to a block of its own keeps the block number under the chunk format: the low
        # half is lost. Readers do not need it (every chunk is unmapped), the digest does.
        union = union & ~UINT16_MAX | (_layout.chunk_bits(inode.hole_size) - BLOCK_BITS)
    elif stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode):
        union = inode.rdev
    icount = (len(body) - XATTR_HEADER.size) // 4 + 1 if body else 0
    if placement.inode_size == COMPACT_INODE.size:
        COMPACT_INODE.pack_into(
            image,
            placement.offset,
            *(layout << 1, icount, inode.mode, inode.nlink, size, 0, union, number, inode.uid, inode.gid, 0),
        )
    else:
        EXTENDED_INODE.pack_into(
            image,
            placement.offset,
            *(layout << 1 | 1, icount, inode.mode, 0, size, union, number, inode.uid, inode.gid),
            *(inode.mtime_s, inode.mtime_ns, inode.nlink),
        )
    if body:
        at = placement.offset + placement.inode_size
        image[at : at + len(body)] = body


def _split_data(
    inode: Inode, placement: _layout.Placement, nids: list[int], types: list[int]
) -> tuple[Iterator[bytes], bytes]:
    """The data of an inode as blocks and tail. A block may be short: the image is zero where nothing is written."""
    if inode.entries:
        ranges, _ = _dirent.cut([name for name, _ in inode.entries])
        parts = [
            _dirent.encode_block([(name, nids[child], types[child]) for name, child in inode.entries[first:last]])
            for first, last in ranges
        ]
        return iter(parts[: placement.blocks]), b"".join(parts[placement.blocks :])
    if inode.hole_size:
        return iter([NULL_ADDRESS * (BLOCK_SIZE // 4)] * placement.blocks), NULL_ADDRESS * (placement.tail_size // 4)
    flat = placement.blocks * BLOCK_SIZE
    blocks = (inode.data[at : at + BLOCK_SIZE] for at in range(0, min(flat, len(inode.data)), BLOCK_SIZE))
    return blocks, inode.data[len(inode.data) - placement.tail_size :] if placement.tail_size else b""
