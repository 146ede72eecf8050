# SPDX-License-Identifier: MIT
"""Takes an EROFS image apart without believing it.

Every offset, count and size in the image is checked before it is used; a broken one is a `DataError` with a code
`erofs.…`, never another exception. What composefs images do not need (compression, devices, long xattr prefixes) is
refused by name rather than half understood.

Invariants: time and memory are linear in the image. In an honest image no two structures share bytes, so the reader
adds up what it has taken apart and refuses the image once that exceeds its size: crafted overlaps cannot make a small
image cost much. For this to hold, ask for each inode once. No recursion.
Out of scope: walking the tree (the caller knows which inodes it has seen), overlayfs meanings, checking chunk tables.

    reader = ErofsReader(data)
    root = reader.root()
    for name, nid, file_type in reader.entries(root, parent_nid=root.nid): ...
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.erofs._xattr import PREFIXES, Pair
from powernode.erofs.format import (
    BLOCK_BITS,
    BLOCK_SIZE,
    CHUNK_BITS_MASK,
    COMPACT_INODE,
    DIRENT,
    EXTENDED_INODE,
    FILE_TYPES,
    INODES_OFFSET,
    LAYOUT_CHUNKED,
    LAYOUT_INLINE,
    LAYOUT_PLAIN,
    NAME_MAX,
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
_LONG_PREFIX = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInode:
    """One inode as stored; `xattrs` in storage order: inline ones, then shared ones."""

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


class ErofsReader:
    """One image. The superblock is checked on construction."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        if len(self._data) < SUPERBLOCK_OFFSET + SUPERBLOCK.size:
            raise DataError("erofs.truncated", "the image ends before its superblock", found=f"{len(self._data)} bytes")
        superblock = Superblock._make(SUPERBLOCK.unpack_from(self._data, SUPERBLOCK_OFFSET))
        _check_supported(superblock)
        self._end = superblock.block_count << BLOCK_BITS
        if self._end > len(self._data):
            raise DataError(
                "erofs.truncated",
                "the image is shorter than its superblock says",
                expected=f"{self._end} bytes",
                found=f"{len(self._data)} bytes",
            )
        self._mtime = (superblock.build_time_s, superblock.build_time_ns)
        self._root_nid = superblock.root_nid
        self._meta = superblock.meta_block << BLOCK_BITS
        self._xattrs = superblock.xattr_block << BLOCK_BITS
        self._budget = self._end
        self._shared: dict[int, Pair] = {}

    def header(self, size: int) -> bytes:
        """The first bytes, which EROFS leaves to others."""
        return bytes(self._data[: min(size, SUPERBLOCK_OFFSET)])

    def root(self) -> ReadInode:
        inode = self.inode(self._root_nid)
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
            if union & 0xFFFF & ~CHUNK_BITS_MASK:
                raise DataError("erofs.chunk-format", f"inode {nid} has an unknown chunk format", found=f"0x{union:x}")
        xattr_size = XATTR_HEADER.size + 4 * (icount - 1) if icount else 0
        xattrs = self._inode_xattrs(nid, at + inode_size, xattr_size) if icount else ()
        self._spend(inode_size + xattr_size)
        has_data = is_regular or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
        return ReadInode(
            nid=nid,
            mode=mode,
            nlink=nlink,
            uid=uid,
            gid=gid,
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            size=size if has_data else 0,
            rdev=union if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0,
            is_chunked=layout == LAYOUT_CHUNKED,
            xattrs=xattrs,
            block=union,
            tail_offset=at + inode_size + xattr_size,
            tail_size=self._tail_size(nid, size) if has_data and layout == LAYOUT_INLINE else 0,
        )

    def data(self, inode: ReadInode) -> bytes:
        """The content of a flat file or the target of a symlink."""
        return b"".join(bytes(part) for part in self._parts(inode))

    def entries(self, inode: ReadInode, *, parent_nid: int) -> list[tuple[bytes, int, int]]:
        """`(name, nid, file type)` of a directory without `.` and `..`, which are checked instead."""
        own_names: dict[bytes, int] = {}
        entries: list[tuple[bytes, int, int]] = []
        previous = b""
        for block in self._parts(inode):
            for name, nid, file_type in _split_block(inode.nid, block):
                if name <= previous:
                    code = "erofs.dirent-duplicate" if name == previous else "erofs.dirent-order"
                    raise DataError(code, f"directory {inode.nid} is not sorted at {name!r}")
                previous = name
                if name in (b".", b".."):
                    own_names[name] = nid
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
        self._budget -= size
        if self._budget < 0:
            raise DataError("erofs.overlap", "the structures of the image overlap: together they exceed its size")

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

    def _parts(self, inode: ReadInode) -> list[memoryview]:
        """The data as blocks; the last may be short, and may be the tail."""
        if inode.is_chunked:
            raise DataError("erofs.layout", f"inode {inode.nid} has no data in the image", expected="a flat layout")
        flat_size = inode.size - inode.tail_size
        start = inode.block << BLOCK_BITS
        if flat_size and (start == 0 or start + flat_size > self._end):
            raise DataError("erofs.data-range", f"the data of inode {inode.nid} lies outside the image")
        if inode.tail_size:
            end = inode.tail_offset + inode.tail_size
            if end > self._end:
                raise DataError("erofs.data-range", f"the tail of inode {inode.nid} lies outside the image")
            if inode.tail_offset // BLOCK_SIZE != (end - 1) // BLOCK_SIZE:
                raise DataError("erofs.tail-crosses-block", f"the tail of inode {inode.nid} crosses a block boundary")
        # Paid before it is cut: the list must not grow beyond what the image can hold.
        self._spend(inode.size)
        parts = [
            self._data[at : min(at + BLOCK_SIZE, start + flat_size)]
            for at in range(start, start + flat_size, BLOCK_SIZE)
        ]
        if inode.tail_size:
            parts.append(self._data[inode.tail_offset : inode.tail_offset + inode.tail_size])
        return parts

    def _inode_xattrs(self, nid: int, at: int, size: int) -> tuple[Pair, ...]:
        end = at + size
        if end > self._end:
            raise DataError("erofs.xattr-range", f"the attributes of inode {nid} lie outside the image")
        _, shared_count = XATTR_HEADER.unpack_from(self._data, at)
        at += XATTR_HEADER.size
        if at + 4 * shared_count > end:
            raise DataError(
                "erofs.xattr-range", f"inode {nid} has more shared attributes than room", found=str(shared_count)
            )
        indices = struct.unpack_from(f"<{shared_count}I", self._data, at)
        at += 4 * shared_count
        pairs: list[Pair] = []
        while at < end:
            pair, at = self._xattr_entry(nid, at, end)
            pairs.append(pair)
        pairs.extend(self._shared_xattr(nid, index) for index in indices)
        if len({name for name, _ in pairs}) != len(pairs):
            raise DataError("erofs.xattr-duplicate", f"inode {nid} has one attribute twice")
        return tuple(pairs)

    def _shared_xattr(self, nid: int, index: int) -> Pair:
        pair = self._shared.get(index)
        if pair is None:
            at = self._xattrs + 4 * index
            pair, end = self._xattr_entry(nid, at, self._end)
            self._spend(end - at)
            self._shared[index] = pair
        return pair

    def _xattr_entry(self, nid: int, at: int, limit: int) -> tuple[Pair, int]:
        if at + XATTR_ENTRY.size > limit:
            raise DataError("erofs.xattr-range", f"an attribute of inode {nid} lies outside its room")
        name_size, index, value_size = XATTR_ENTRY.unpack_from(self._data, at)
        name_at = at + XATTR_ENTRY.size
        value_at = name_at + name_size
        end = value_at + value_size
        if end > limit:
            raise DataError("erofs.xattr-range", f"an attribute of inode {nid} lies outside its room")
        if index & _LONG_PREFIX or index not in _PREFIX_OF_INDEX:
            raise DataError("erofs.xattr-prefix", f"inode {nid} has an attribute of unknown prefix", found=str(index))
        name = _PREFIX_OF_INDEX[index] + bytes(self._data[name_at:value_at])
        if not name or b"\0" in name:
            raise DataError("erofs.xattr-name", f"inode {nid} has an attribute without a usable name", found=repr(name))
        return (name, bytes(self._data[value_at:end])), end + -end % 4


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
        ("feature-incompat", "incompatible features", superblock.feature_incompat),
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


def _split_block(nid: int, block: memoryview) -> list[tuple[bytes, int, int]]:
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
