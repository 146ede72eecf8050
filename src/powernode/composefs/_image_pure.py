# SPDX-License-Identifier: MIT
"""A tree as a composefs image and back, in Python: the reference beside the native core.

Invariants: `write_image` gives the bytes of C mkcomposefs for the same tree; `write_image(read_image(image))` gives
`image` again for every image either of us wrote whose hard-linked files are stored at their first name in walk order.
Out of scope: files, digests of images, the native core (the facade `image` chooses).

    image = write_image(root, min_version=1)
    print_dump(read_image(image))
"""

from __future__ import annotations

import stat
import struct

from powernode.base.errors import DataError
from powernode.composefs import _kinds
from powernode.composefs._overlay import Restored, flatten, restore
from powernode.composefs._places import survey_tree
from powernode.composefs._tree_check import check_content_size, check_file_size, check_tree
from powernode.composefs._versions import VERSION_MAX, check_versions
from powernode.composefs.tree import (
    Directory,
    Node,
    RegularFile,
    walk,
)
from powernode.erofs._reader import ErofsReader, ReadInode
from powernode.erofs._writer import write_erofs

HEADER = struct.Struct("<IIII16x")
"""magic, version of this header (1), flags, version of the composefs format."""
HEADER_MAGIC = 0xD078629A
HEADER_VERSION = 1
FLAG_HAS_ACL = 1
_ACL_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")
_AREA = "composefs"


def write_image(root: Directory, *, min_version: int = 0, max_version: int = 1) -> bytes:
    """The image of a tree. Whiteouts raise the format version to 1 where `max_version` allows it."""
    check_versions(min_version, max_version)
    survey = survey_tree(root)
    check_tree(root)
    version = max(min_version, max_version) if survey.has_whiteout else min_version
    inodes = flatten(root, version=version, survey=survey).inodes
    has_acl = any(name in _ACL_NAMES for inode in inodes for name, _ in inode.xattrs)
    return write_erofs(
        inodes, header=HEADER.pack(HEADER_MAGIC, HEADER_VERSION, FLAG_HAS_ACL if has_acl else 0, version)
    )


def read_image(data: bytes | memoryview) -> Directory:
    """The tree of an image, which may come from anyone."""
    reader = ErofsReader(data)
    _check_header(reader)
    stored_root = reader.root()
    entries: dict[bytes, Node] = {}
    root = _directory(stored_root, entries)
    known: dict[int, Node | None] = {stored_root.nid: root}
    pending: list[tuple[ReadInode, int, dict[bytes, Node]]] = [(stored_root, stored_root.nid, entries)]
    while pending:
        directory, parent_nid, entries = pending.pop()
        for name, nid, file_type in reader.entries(directory, parent_nid=parent_nid):
            if nid in known:
                node = known[nid]
                if isinstance(node, Directory):
                    raise DataError(
                        "composefs.directory-twice", f"the directory {nid} has two names, or contains itself"
                    )
                if node is not None:
                    entries[name] = node
                continue
            stored = reader.inode(nid, file_type=file_type)
            if stat.S_ISDIR(stored.mode):
                child_entries: dict[bytes, Node] = {}
                node = _directory(stored, child_entries)
                pending.append((stored, directory.nid, child_entries))
            else:
                node = _leaf(reader, stored)
            known[nid] = node
            if node is not None:
                entries[name] = node
    return root


def image_objects(data: bytes | memoryview) -> list[bytes]:
    """The payload paths of an image, each once, in byte order."""
    nodes = (node for _, node in walk(read_image(data)))
    return sorted({node.payload for node in nodes if isinstance(node, RegularFile) and node.payload})


def _check_header(reader: ErofsReader) -> None:
    magic, header_version, _, version = HEADER.unpack(reader.header(HEADER.size))
    if magic != HEADER_MAGIC:
        raise DataError(
            "composefs.magic", "this is not a composefs image", expected=f"0x{HEADER_MAGIC:08x}", found=f"0x{magic:08x}"
        )
    if header_version != HEADER_VERSION or version > VERSION_MAX:
        raise DataError(
            "composefs.version",
            "this version of the composefs format cannot be read",
            expected=f"header {HEADER_VERSION}, format 0 to {VERSION_MAX}",
            found=f"header {header_version}, format {version}",
        )


def _directory(stored: ReadInode, entries: dict[bytes, Node]) -> Directory:
    return Directory(
        mode=stored.mode & _kinds.PERMISSIONS,
        uid=stored.uid,
        gid=stored.gid,
        mtime_s=stored.mtime_s,
        mtime_ns=stored.mtime_ns,
        nlink=stored.nlink,
        xattrs=restore(stored.mode, stored.xattrs).xattrs,
        entries=entries,
    )


def _leaf(reader: ErofsReader, stored: ReadInode) -> Node | None:
    """The tree's node, or None for a stub that hides an object directory."""
    where = f"inode {stored.nid}"
    if stat.S_ISCHR(stored.mode) and stored.rdev == 0:
        if stored.nlink > 1:
            raise DataError("composefs.whiteout-link", f"{where} hides a name and has {stored.nlink} names")
        return None
    restored = restore(stored.mode, stored.xattrs)
    mode, size, target = stored.mode, stored.size, b""
    content: bytes | None = None
    if restored.is_whiteout:
        mode, size = stat.S_IFCHR | stored.mode & _kinds.PERMISSIONS, 0
    elif stat.S_ISLNK(mode):
        target = _target(reader, stored, where)
    elif stat.S_ISREG(mode) and size:
        content = _content(reader, stored, restored, where)
    return _kinds.make_leaf(
        mode,
        uid=stored.uid,
        gid=stored.gid,
        mtime_s=stored.mtime_s,
        mtime_ns=stored.mtime_ns,
        nlink=stored.nlink,
        xattrs=restored.xattrs,
        size=size,
        content=content,
        payload=restored.payload,
        digest=restored.digest,
        target=target,
        rdev=stored.rdev,
    )


def _target(reader: ErofsReader, stored: ReadInode, where: str) -> bytes:
    if stored.size > _kinds.PATH_MAX:
        raise DataError(
            "composefs.path-length", f"{where}: the target of a symlink is too long", found=str(stored.size)
        )
    target = reader.data(stored)
    _kinds.check_target(target, area=_AREA, where=where)
    return target


def _content(reader: ErofsReader, stored: ReadInode, restored: Restored, where: str) -> bytes | None:
    """What the image holds of a file, or None where that is a reference."""
    if not stored.is_chunked:
        check_content_size(stored.size, where)
        return reader.data(stored)
    check_file_size(stored.size, where)
    if restored.payload is not None:
        _kinds.check_payload(restored.payload, area=_AREA, where=where)
    return None
