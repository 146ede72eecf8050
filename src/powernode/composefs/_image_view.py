# SPDX-License-Identifier: MIT
"""What an image means as a composefs tree, entry by entry: the overlayfs rewriting of the writer undone.

Entries come parents first, siblings in byte order, the root first of all; the stubs of the root are left out. Where an
attribute would make overlayfs show another tree than the one handed out here, the image is refused.

Invariants: the twin of csrc/composefs/view.c and view_interpret.c, refusal for refusal. Every inode is read at most
once, a directory has one name; no recursion.
Out of scope: trees (see `_image_pure`), text (see `_view_pure`).

    for entry in view_image(image):
        print(entry.path, oct(entry.mode))
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from powernode.base.errors import DataError
from powernode.composefs import _kinds
from powernode.composefs._overlay import metacopy_digest, object_path, restore
from powernode.composefs._tree_check import check_content_size
from powernode.composefs.tree import Xattrs
from powernode.erofs._reader import ErofsReader, ReadInode
from powernode.erofs.format import BLOCK_SIZE, FILE_TYPES, TYPE_MASK

HEADER = struct.Struct("<IIII16x")
"""magic, version of this header (1), flags, version of the composefs format."""
HEADER_MAGIC = 0xD078629A
HEADER_VERSION = 1
_READ_VERSION_MAX = 2
"""0 and 1 are the two versions of the reference writer; 2 is an early layout of another one, read the same way."""
_STUB_NAME = re.compile(rb"[0-9a-f]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEntry:
    """One name. `is_link`: a further name of an inode that came before, which everything but `path` describes.
    `payload` is the object of a file or the target of a symlink; `xattrs` are in the order of the image."""

    path: bytes
    is_link: bool
    stored: ReadInode
    mode: int
    payload: bytes | None = None
    content: bytes | None = None
    digest: bytes | None = None
    xattrs: Xattrs = ()


def view_image(data: bytes | memoryview, *, only: Collection[bytes] = ()) -> Iterator[ViewEntry]:
    """All entries, or those below the named entries of the root."""
    if any(b"/" in name or not name for name in only):
        raise DataError("composefs.filter", "a filter is the name of an entry of the root, not a path")
    _check_header(bytes(data[: HEADER.size]), len(data))
    reader = ErofsReader(data)
    root = reader.root()
    yield _interpret(reader, root, b"/")
    known: dict[int, ViewEntry | None] = {root.nid: None}
    types = {root.nid: FILE_TYPES[stat.S_IFDIR]}
    children = [child for child in reader.entries(root, parent_nid=root.nid) if not only or child[0] in only]
    pending = [(root.nid, b"", iter(children))]
    while pending:
        directory_nid, prefix, names = pending[-1]
        child = next(names, None)
        if child is None:
            pending.pop()
            continue
        name, nid, file_type = child
        path = prefix + b"/" + name
        if nid in types:
            first = known[nid]
            if file_type != types[nid]:
                raise DataError("erofs.dirent-type", f"a directory entry and inode {nid} disagree about the type")
            if file_type == FILE_TYPES[stat.S_IFDIR]:
                raise DataError("composefs.directory-twice", f"the directory {nid} has two names, or contains itself")
            if first is None:
                raise DataError("composefs.whiteout-link", f"inode {nid} hides a name and has several names")
            yield replace(first, path=path, is_link=True)
            continue
        stored = reader.inode(nid, file_type=file_type)
        reader.claim(stored)
        types[nid] = FILE_TYPES[stored.mode & TYPE_MASK]
        is_stub = stat.S_ISCHR(stored.mode) and stored.rdev == 0
        if is_stub:
            _check_stub(stored, name, at_root=len(pending) == 1)
        entry = _interpret(reader, stored, path)
        known[nid] = None if is_stub else entry
        if not is_stub:
            yield entry
        if stat.S_ISDIR(stored.mode):
            known[nid] = None
            pending.append((nid, path, iter(reader.entries(stored, parent_nid=directory_nid))))


def _check_header(header: bytes, size: int) -> None:
    if size < BLOCK_SIZE:
        raise DataError(
            "erofs.truncated", "no image is that short", expected=f"{BLOCK_SIZE} bytes or more", found=str(size)
        )
    magic, header_version, _, version = HEADER.unpack(header)
    if magic != HEADER_MAGIC:
        raise DataError(
            "composefs.magic", "this is not a composefs image", expected=f"0x{HEADER_MAGIC:08x}", found=f"0x{magic:08x}"
        )
    if header_version != HEADER_VERSION or version > _READ_VERSION_MAX:
        raise DataError(
            "composefs.version",
            "this version of the composefs format cannot be read",
            expected=f"header {HEADER_VERSION}, format 0 to {_READ_VERSION_MAX}",
            found=f"header {header_version}, format {version}",
        )


def _check_stub(stored: ReadInode, name: bytes, *, at_root: bool) -> None:
    """A stored character device 0:0 is a whiteout to overlayfs. The writer makes them for the root's stubs only, and a
    whiteout anywhere else would not survive a rebuild of the image from its dump."""
    if not at_root or not _STUB_NAME.fullmatch(name):
        raise DataError(
            "composefs.whiteout-place", f"inode {stored.nid}: a whiteout that is not one of the root's stubs 00 to ff"
        )
    if stored.nlink != 1:
        raise DataError("composefs.whiteout-link", f"inode {stored.nid} hides a name and has {stored.nlink} names")


def _interpret(reader: ErofsReader, stored: ReadInode, path: bytes) -> ViewEntry:
    where = f"inode {stored.nid}"
    restored = restore(stored.mode, stored.xattrs, is_root=path == b"/", size=stored.size, where=where)
    if _kinds.xattrs_size(restored.xattrs) > _kinds.XATTRS_STORED_MAX:
        raise DataError(
            "composefs.xattr-size",
            f"{where}: the attributes are too large",
            expected=f"at most {_kinds.XATTRS_STORED_MAX} bytes",
        )
    entry = ViewEntry(path=path, is_link=False, stored=stored, mode=stored.mode, xattrs=restored.xattrs)
    is_outside = restored.metacopy is not None or restored.payload is not None
    if stat.S_ISREG(stored.mode):
        if not stored.is_chunked:
            if is_outside:
                raise DataError(
                    "composefs.metacopy-data",
                    f"{where}: a file with data of its own (or none) is marked as kept elsewhere",
                )
            check_content_size(stored.size, where)
            mode = stat.S_IFCHR | stat.S_IMODE(stored.mode) if restored.is_whiteout else stored.mode
            return replace(entry, mode=mode, content=reader.data(stored) or None)
        if restored.metacopy is None:
            raise DataError(
                "composefs.metacopy-missing", f"{where}: a file without data is not marked as kept elsewhere"
            )
        digest = metacopy_digest(restored.metacopy, where)
        payload = None if restored.payload is None else object_path(restored.payload, where)
        return replace(entry, payload=payload, digest=digest)
    if is_outside:
        raise DataError("composefs.redirect-type", f"{where}: only a regular file can be kept elsewhere")
    if stat.S_ISLNK(stored.mode):
        return replace(entry, payload=_target(reader, stored, where))
    return entry


def _target(reader: ErofsReader, stored: ReadInode, where: str) -> bytes:
    target = reader.data(stored) if 0 < stored.size <= _kinds.PATH_MAX else b""
    if not target or b"\0" in target:
        raise DataError(
            "erofs.symlink",
            f"{where}: a symlink target is empty, too long or holds a NUL",
            expected=f"1 to {_kinds.PATH_MAX} bytes",
            found=str(stored.size),
        )
    return target
