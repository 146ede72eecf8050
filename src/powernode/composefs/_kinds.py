# SPDX-License-Identifier: MIT
"""File types of tree nodes, and the limits every tree keeps wherever it came from.

Invariants: the limits are those of the C composefs tools, so that no tree is accepted here and refused there.
Out of scope: what a type means in an image (see `_overlay`); refusing (see `_tree_check`, and `_dump_parse`, whose
refusals have codes of their own).

    make_leaf(0o120777, uid=0, gid=0, mtime_s=0, mtime_ns=0, nlink=1, xattrs=(), target=b"elsewhere")
"""

from __future__ import annotations

import stat

from powernode.composefs.tree import (
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Xattrs,
)

TYPE_BITS: dict[type[Node], int] = {
    RegularFile: stat.S_IFREG,
    Directory: stat.S_IFDIR,
    Symlink: stat.S_IFLNK,
    CharacterDevice: stat.S_IFCHR,
    BlockDevice: stat.S_IFBLK,
    Fifo: stat.S_IFIFO,
    Socket: stat.S_IFSOCK,
}

PERMISSIONS = 0o7777
NAME_MAX = 255
PATH_MAX = 4095
INLINE_CONTENT_MAX = 5000
FILE_SIZE_MAX = 1 << 53
"""What 1024 chunks of the largest size can hold."""
XATTR_NAME_MAX = 255
XATTR_VALUE_MAX = 65535
XATTRS_SIZE_MAX = 32767
"""Of one inode that comes from outside: 12 bytes, and for each attribute its name, its value and 7 more."""
XATTRS_STORED_MAX = 65535
"""The same sum in an image, where the marks of overlayfs have been added."""


def xattrs_size(xattrs: Xattrs) -> int:
    """What XATTRS_SIZE_MAX and XATTRS_STORED_MAX are about."""
    return 12 + sum(7 + len(name) + len(value) for name, value in xattrs)


def is_whiteout(node: Node) -> bool:
    """overlayfs removes what is below a character device 0:0."""
    return isinstance(node, CharacterDevice) and node.rdev == 0


def make_leaf(
    mode: int,
    *,
    uid: int,
    gid: int,
    mtime_s: int,
    mtime_ns: int,
    nlink: int,
    xattrs: Xattrs,
    size: int = 0,
    content: bytes | None = None,
    payload: bytes | None = None,
    digest: bytes | None = None,
    target: bytes = b"",
    rdev: int = 0,
) -> Node:
    """The node of a stat-like mode that is not a directory; fields its type does not have are dropped."""
    permissions = mode & PERMISSIONS
    type_bits = stat.S_IFMT(mode)
    if type_bits == stat.S_IFREG:
        is_outside = size > 0 and content is None
        return RegularFile(
            mode=permissions,
            uid=uid,
            gid=gid,
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            nlink=nlink,
            xattrs=xattrs,
            size=size,
            content=content or None,
            payload=payload if is_outside else None,
            digest=digest if is_outside else None,
        )
    if type_bits == stat.S_IFLNK:
        return Symlink(
            mode=permissions,
            uid=uid,
            gid=gid,
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            nlink=nlink,
            xattrs=xattrs,
            target=target,
        )
    if type_bits in (stat.S_IFCHR, stat.S_IFBLK):
        device = CharacterDevice if type_bits == stat.S_IFCHR else BlockDevice
        return device(
            mode=permissions,
            uid=uid,
            gid=gid,
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            nlink=nlink,
            xattrs=xattrs,
            rdev=rdev,
        )
    plain = {stat.S_IFIFO: Fifo, stat.S_IFSOCK: Socket}[type_bits]
    return plain(mode=permissions, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs)
