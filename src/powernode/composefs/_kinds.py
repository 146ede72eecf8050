# SPDX-License-Identifier: MIT
"""File types of tree nodes, and the limits every tree keeps wherever it came from.

Invariants: the limits are those of the C composefs tools, so that no tree is accepted here and refused there. Each
check raises `DataError` with the code `<area>.…` and begins its message with `where`.
Out of scope: what a type means in an image (see `_overlay`).

    check_name(b"etc", area="dump", where="line 3")
"""

from __future__ import annotations

import stat

from powernode.base.errors import DataError
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


def type_bits_of(node: Node) -> int:
    return TYPE_BITS[type(node)]


def is_whiteout(node: Node) -> bool:
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


def check_name(name: bytes, *, area: str, where: str) -> None:
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise DataError(f"{area}.name", f"{where}: this cannot be a file name", found=repr(name))
    if len(name) > NAME_MAX:
        raise DataError(
            f"{area}.name-length",
            f"{where}: a name is too long",
            expected=f"at most {NAME_MAX} bytes",
            found=str(len(name)),
        )


def check_target(target: bytes, *, area: str, where: str) -> None:
    """Symlink targets."""
    if not target or b"\0" in target:
        raise DataError(f"{area}.symlink", f"{where}: this cannot be the target of a symlink", found=repr(target))
    _check_path_length(target, area=area, where=where)


def check_payload(payload: bytes, *, area: str, where: str) -> None:
    """Paths of objects."""
    if not payload or b"\0" in payload:
        raise DataError(f"{area}.payload", f"{where}: this cannot be the path of an object", found=repr(payload))
    _check_path_length(payload, area=area, where=where)


def _check_path_length(path: bytes, *, area: str, where: str) -> None:
    if len(path) > PATH_MAX:
        raise DataError(
            f"{area}.path-length",
            f"{where}: a path is too long",
            expected=f"at most {PATH_MAX} bytes",
            found=str(len(path)),
        )


def check_xattrs(xattrs: Xattrs, *, area: str, where: str, limit: int = XATTRS_SIZE_MAX) -> None:
    """Names, sizes, and their order."""
    total = 12
    previous = b""
    for name, value in xattrs:
        if not name or b"\0" in name or len(name) > XATTR_NAME_MAX:
            raise DataError(f"{area}.xattr-name", f"{where}: this cannot be the name of an attribute", found=repr(name))
        if len(value) > XATTR_VALUE_MAX:
            raise DataError(
                f"{area}.xattr-value",
                f"{where}: the value of {name!r} is too long",
                expected=f"at most {XATTR_VALUE_MAX} bytes",
                found=str(len(value)),
            )
        if name <= previous:
            raise DataError(f"{area}.xattr-order", f"{where}: the attributes are not sorted, or one is there twice")
        previous = name
        total += 7 + len(name) + len(value)
    if xattrs and total > limit:
        raise DataError(
            f"{area}.xattr-size",
            f"{where}: the attributes are too large",
            expected=f"at most {limit} bytes",
            found=str(total),
        )
