# SPDX-License-Identifier: MIT
"""Takes an EROFS image apart without believing it.

Every offset, count and size in the image is checked before it is used; a broken one is a `DataError` with a code
`erofs.…`, never another exception. What composefs images do not need (compression, devices, long xattr prefixes) is
refused by name rather than half understood.

Invariants: it refuses what the C reader refuses, with the same codes. Time and memory are linear in the image: inodes
with what is stored inline may not overlap (`claim`), directories together are no larger than the image, and what the
other data and shared attributes unfold to is limited to a multiple of it. No recursion.
Out of scope: walking the tree (the caller knows which inodes it has seen, and claims each once), overlayfs meanings.

    reader = ErofsReader(data)
    root = reader.root()
    for name, nid, file_type in reader.entries(root, parent_nid=root.nid): ...
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.erofs._dirent import split_block
from powernode.erofs._xattr import PREFIXES, Pair, split_name, stored_filter_bit
from powernode.erofs.format import (
    BLOCK_BITS,
    BLOCK_SIZE,
    CHUNK_BITS_MASK,
    CHUNKS_MAX,
    COMPACT_INODE,
    COMPAT_XATTR_FILTER,
    EXTENDED_INODE,
    FILE_TYPES,
    INCOMPAT_CHUNKED,
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
    XATTR_ENTRY,
    XATTR_HEADER,
    Superblock,
)

_PREFIX_OF_INDEX = {**dict(PREFIXES), 0: b"", 5: b"lustre."}
_XATTR_NAME_MAX = 255
_SIZE_MAX = (1 << 63) - 1
_UNFOLDED_BASE = 16 << 20
_UNFOLDED_FACTOR = 16


def unfolded_limit(size: int) -> int:
    """What an image of this size may say: shared parts let a crafted one of kilobytes unfold to gigabytes."""
    return _UNFOLDED_BASE + _UNFOLDED_FACTOR * size


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInode:
    """One inode as stored; `xattrs` in storage order: inline ones, then shared ones. It takes `offset` to `end`."""

    nid: int
    mode: int
    nlink: int
    uid: int
    gid: int
    mtime_s: int
    mtime_ns: int
    size: int
    rdev: int
    is_chunked: bool
    xattrs: tuple[Pair, ...]
    block: int
    tail_offset: int
    tail_size: int
    offset: int
    end: int


class ErofsReader:
    """One image. The superblock is checked on construction."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        if len(self._data) < SUPERBLOCK_OFFSET + SUPERBLOCK.size:
            raise DataError("erofs.truncated", "the image ends before its superblock", found=f"{len(self._data)} bytes")
        superblock = Superblock._make(SUPERBLOCK.unpack_from(self._data, SUPERBLOCK_OFFSET))
        _check_supported(superblock)
        self._end = superblock.block_count << BLOCK_BITS
        if self._end != len(self._data):
            raise DataError(
                "erofs.truncated" if self._end > len(self._data) else "erofs.size",
                "the image has another size than its superblock says",
                expected=f"{self._end} bytes",
                found=f"{len(self._data)} bytes",
            )
        self._mtime = (superblock.build_time_s, superblock.build_time_ns)
        self._root_nid = superblock.root_nid
        self._meta = superblock.meta_block << BLOCK_BITS
        self._xattrs = superblock.xattr_block << BLOCK_BITS
        for code, what, offset in (("meta", "inodes", self._meta), ("xattr", "shared attributes", self._xattrs)):
            # A table of shared attributes may be empty, the inodes not.
            if offset > self._end or (offset == self._end and code == "meta"):
                raise DataError(f"erofs.{code}-range", f"the {what} would begin behind the end of the image")
        # A reserved byte switches the filter off, for layouts of it that do not exist yet.
        self._filters = bool(superblock.feature_compat & COMPAT_XATTR_FILTER) and not superblock.xattr_filter_reserved
        self._claimed = bytearray(self._end // SLOT_SIZE)
        self._directory_bytes = self._end
        self._unfolded = unfolded_limit(self._end)
        self._shared: dict[int, tuple[Pair, int]] = {}

    def root(self) -> ReadInode:
        inode = self.inode(self._root_nid)
        self.claim(inode)
        if not stat.S_ISDIR(inode.mode):
            raise DataError("erofs.root-type", "the root of the image is not a directory", found=f"0o{inode.mode:o}")
        return inode

    def inode(self, nid: int, *, file_type: int | None = None) -> ReadInode:
        """Decode the inode at `nid`; `file_type` is what the directory entry said it is."""
        at = self._meta + nid * SLOT_SIZE
        if at < INODES_OFFSET or at + COMPACT_INODE.size > self._end:
            raise DataError("erofs.nid-range", f"nid {nid} lies outside the image")
        (layout_format,) = struct.unpack_from("<H", self._data, at)
        layout = layout_format >> 1
        if layout not in (LAYOUT_PLAIN, LAYOUT_INLINE, LAYOUT_CHUNKED):
            raise DataError(
                "erofs.layout",
                f"inode {nid} has a data layout this reader does not support",
                expected="plain (0), inline (2) or chunk-based (4)",
                found=str(layout),
            )
        if layout_format & 1:
            if at + EXTENDED_INODE.size > self._end:
                raise DataError("erofs.nid-range", f"inode {nid} runs past the end of the image")
            inode_size = EXTENDED_INODE.size
            _, icount, mode, _, size, union, _, uid, gid, mtime_s, mtime_ns, nlink = EXTENDED_INODE.unpack_from(
                self._data, at
            )
        else:
            inode_size = COMPACT_INODE.size
            _, icount, mode, nlink, size, _, union, _, uid, gid, _ = COMPACT_INODE.unpack_from(self._data, at)
            mtime_s, mtime_ns = self._mtime
        self._check_type(nid, mode, file_type)
        is_regular = stat.S_ISREG(mode)
        if layout == LAYOUT_CHUNKED:
            if not is_regular:
                raise DataError("erofs.layout", f"inode {nid} is chunk-based and not a file", found=f"0o{mode:o}")
            if size == 0:
                raise DataError("erofs.layout", f"inode {nid} is chunk-based and empty")
            if union & 0xFFFF & ~CHUNK_BITS_MASK:
                raise DataError("erofs.chunk-format", f"inode {nid} has an unknown chunk format", found=f"0x{union:x}")
        if size > _SIZE_MAX:
            raise DataError("erofs.file-size", f"inode {nid} has an impossible size", found=str(size))
        xattr_size = XATTR_HEADER.size + 4 * (icount - 1) if icount else 0
        if at + inode_size + xattr_size > self._end:
            raise DataError("erofs.nid-range", f"the attributes of inode {nid} run past the end of the image")
        xattrs = self._inode_xattrs(nid, at + inode_size, xattr_size) if icount else ()
        has_data = is_regular or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
        tail_offset = end = at + inode_size + xattr_size
        tail_size = self._tail_size(nid, size) if has_data and size and layout == LAYOUT_INLINE else 0
        if layout == LAYOUT_CHUNKED:
            end += self._chunk_table_size(nid, size, union, end)
        elif has_data and size:
            self._check_ranges(nid, union << BLOCK_BITS, size - tail_size, tail_offset, tail_size)
        return ReadInode(
            nid=nid,
            mode=mode,
            nlink=nlink,
            uid=uid,
            gid=gid,
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            size=size,
            rdev=union if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0,
            is_chunked=layout == LAYOUT_CHUNKED,
            xattrs=xattrs,
            block=union,
            tail_offset=tail_offset,
            tail_size=tail_size,
            offset=at,
            end=end + tail_size,
        )

    def claim(self, inode: ReadInode) -> None:
        """Note that the inode is in use; refuse one that overlaps another."""
        first, last = inode.offset // SLOT_SIZE, -(-inode.end // SLOT_SIZE)
        if self._claimed.find(1, first, last) >= 0:
            raise DataError("erofs.overlap", f"inode {inode.nid} overlaps another one")
        self._claimed[first:last] = b"\1" * (last - first)

    def data(self, inode: ReadInode) -> bytes:
        """The content of a flat file or the target of a symlink."""
        parts = self._parts(inode)
        self._spend(inode.size)
        return b"".join(bytes(part) for part in parts)

    def entries(self, inode: ReadInode, *, parent_nid: int) -> list[tuple[bytes, int, int]]:
        """`(name, nid, file type)` of a directory without `.` and `..`, which are checked instead."""
        own_names: dict[bytes, int] = {}
        entries: list[tuple[bytes, int, int]] = []
        previous = b""
        self._directory_bytes -= inode.size
        if self._directory_bytes < 0:
            raise DataError("erofs.overlap", "the directories are larger than the image, so some share their data")
        for block in self._parts(inode):
            for name, nid, file_type in split_block(inode.nid, block):
                if name <= previous:
                    code = "erofs.dirent-duplicate" if name == previous else "erofs.dirent-order"
                    raise DataError(code, f"directory {inode.nid} is not sorted at {name!r}")
                previous = name
                if name in (b".", b".."):
                    own_names[name] = nid if file_type == FILE_TYPES[stat.S_IFDIR] else -1
                else:
                    entries.append((name, nid, file_type))
        for name, nid in ((b".", inode.nid), (b"..", parent_nid)):
            if own_names.get(name) != nid:
                raise DataError(
                    "erofs.dot",
                    f"{name.decode()!r} of directory {inode.nid} leads elsewhere",
                    expected=str(nid),
                    found=str(own_names.get(name)),
                )
        return entries

    def _spend(self, size: int) -> None:
        self._unfolded -= size
        if self._unfolded < 0:
            raise DataError(
                "erofs.overlap", "the data overlaps: together it is far more than an honest image of this size holds"
            )

    def _check_type(self, nid: int, mode: int, file_type: int | None) -> None:
        actual = FILE_TYPES.get(mode & TYPE_MASK)
        if actual is None:
            raise DataError("erofs.mode", f"inode {nid} has no known file type", found=f"0o{mode:o}")
        if file_type is not None and file_type != actual:
            raise DataError(
                "erofs.dirent-type",
                f"a directory entry and inode {nid} disagree about the type",
                expected=str(actual),
                found=str(file_type),
            )

    def _tail_size(self, nid: int, size: int) -> int:
        tail_size = size % BLOCK_SIZE
        if tail_size == 0:
            raise DataError("erofs.tail-size", f"inode {nid} has an inline tail of no bytes", found=f"size {size}")
        return tail_size

    def _chunk_table_size(self, nid: int, size: int, union: int, at: int) -> int:
        """Check that every chunk is "nowhere". A table that would cross a block lies in a block of its own, whose
        number the writer has overwritten: it cannot be found, and takes nothing here."""
        count = (size - 1 >> BLOCK_BITS + (union & CHUNK_BITS_MASK)) + 1
        if count > CHUNKS_MAX:
            raise DataError(
                "erofs.chunk-count", f"inode {nid} has too many chunks", expected=f"<= {CHUNKS_MAX}", found=str(count)
            )
        table_size = 4 * count
        if at % BLOCK_SIZE + table_size > BLOCK_SIZE:
            return 0
        if at + table_size > self._end:
            raise DataError("erofs.chunk-range", f"the chunk table of inode {nid} reaches behind the end of the image")
        if self._data[at : at + table_size] != NULL_ADDRESS * count:
            raise DataError("erofs.chunk-data", f"a chunk of inode {nid} is stored in the image")
        return table_size

    def _check_ranges(self, nid: int, start: int, flat_size: int, tail_offset: int, tail_size: int) -> None:
        """Of data that is in the image: whole blocks at `start`, and a tail behind the inode."""
        end = tail_offset + tail_size
        if tail_size and end > self._end:
            raise DataError("erofs.data-range", f"the tail of inode {nid} lies outside the image")
        if tail_size and tail_offset // BLOCK_SIZE != (end - 1) // BLOCK_SIZE:
            raise DataError("erofs.tail-crosses-block", f"the tail of inode {nid} crosses a block boundary")
        if flat_size and (start == 0 or start + flat_size > self._end):
            raise DataError("erofs.data-range", f"the data of inode {nid} lies outside the image")

    def _parts(self, inode: ReadInode) -> list[memoryview]:
        """The data as blocks; the last may be short, and may be the tail."""
        if inode.is_chunked:
            raise DataError("erofs.layout", f"inode {inode.nid} has no data in the image", expected="a flat layout")
        flat_size = inode.size - inode.tail_size
        start = inode.block << BLOCK_BITS
        parts = [
            self._data[at : min(at + BLOCK_SIZE, start + flat_size)]
            for at in range(start, start + flat_size, BLOCK_SIZE)
        ]
        if inode.tail_size:
            parts.append(self._data[inode.tail_offset : inode.tail_offset + inode.tail_size])
        return parts

    def _inode_xattrs(self, nid: int, at: int, size: int) -> tuple[Pair, ...]:
        end = at + size
        denied, shared_count = XATTR_HEADER.unpack_from(self._data, at)
        at += XATTR_HEADER.size
        if at + 4 * shared_count > end:
            raise DataError(
                "erofs.xattr-range", f"inode {nid} has more shared attributes than room", found=str(shared_count)
            )
        indices = struct.unpack_from(f"<{shared_count}I", self._data, at)
        at += 4 * shared_count
        pairs: list[Pair] = []
        present = 0
        while at < end:
            pair, bit, at = self._xattr_entry(nid, at, end)
            pairs.append(pair)
            present |= bit
        own_count = len(pairs)
        for index in indices:
            pair, bit = self._shared_xattr(nid, index)
            pairs.append(pair)
            present |= bit
        if len({name for name, _ in pairs}) != len(pairs):
            raise DataError("erofs.xattr-duplicate", f"inode {nid} has one attribute twice")
        for part in (pairs[:own_count], pairs[own_count:]):
            if part != sorted(part):
                raise DataError("erofs.xattr-order", f"the attributes of inode {nid} are not sorted by name")
        # The kernel does not even look for a name that the filter denies.
        if self._filters and denied & present:
            raise DataError("erofs.xattr-filter", f"the name filter of inode {nid} denies an attribute that is there")
        return tuple(pairs)

    def _shared_xattr(self, nid: int, index: int) -> tuple[Pair, int]:
        known = self._shared.get(index)
        if known is None:
            at = self._xattrs + 4 * index
            pair, bit, end = self._xattr_entry(nid, at, self._end)
            self._spend(end - at)
            known = self._shared[index] = pair, bit
        return known

    def _xattr_entry(self, nid: int, at: int, limit: int) -> tuple[Pair, int, int]:
        """The pair, its bit in the name filter, and where the next entry begins."""
        if at + XATTR_ENTRY.size > limit:
            raise DataError("erofs.xattr-range", f"an attribute of inode {nid} lies outside its room")
        name_size, index, value_size = XATTR_ENTRY.unpack_from(self._data, at)
        name_at = at + XATTR_ENTRY.size
        value_at = name_at + name_size
        end = value_at + value_size
        if end > limit:
            raise DataError("erofs.xattr-range", f"an attribute of inode {nid} lies outside its room")
        if index not in _PREFIX_OF_INDEX:
            raise DataError("erofs.xattr-prefix", f"inode {nid} has an attribute of unknown prefix", found=str(index))
        suffix = bytes(self._data[name_at:value_at])
        name = _PREFIX_OF_INDEX[index] + suffix
        if not 0 < len(name) <= _XATTR_NAME_MAX or b"\0" in name:
            raise DataError("erofs.xattr-name", f"inode {nid} has an attribute without a usable name", found=repr(name))
        if index == 0 and split_name(name)[0]:
            raise DataError(
                "erofs.xattr-prefix", f"inode {nid} spells out a prefix that has a number", found=repr(name)
            )
        return (name, bytes(self._data[value_at:end])), stored_filter_bit(index, suffix), end + -end % 4


def _check_supported(superblock: Superblock) -> None:
    if superblock.magic != SUPERBLOCK_MAGIC:
        raise DataError(
            "erofs.magic",
            "this is not an EROFS image",
            expected=f"0x{SUPERBLOCK_MAGIC:08x}",
            found=f"0x{superblock.magic:08x}",
        )
    if superblock.block_bits != BLOCK_BITS:
        raise DataError(
            "erofs.block-size", "the block size is not 4096", expected=str(BLOCK_BITS), found=str(superblock.block_bits)
        )
    for code, what, value in (
        ("feature-incompat", "incompatible features", superblock.feature_incompat & ~INCOMPAT_CHUNKED),
        ("superblock-slots", "superblock extensions", superblock.extension_slots),
        ("compression", "compression", superblock.algorithms),
        ("devices", "data on other devices", superblock.extra_devices),
        ("directory-blocks", "large directory blocks", superblock.directory_block_bits),
        ("xattr-prefix", "long attribute prefixes", superblock.xattr_prefix_count),
    ):
        if value:
            raise DataError(
                f"erofs.{code}", f"the image uses {what}, which this reader does not support", found=f"0x{value:x}"
            )
