# SPDX-License-Identifier: MIT
"""What a composefs image says differently from the tree, so that overlayfs shows the tree again.

The image is the lower layer of an overlayfs mount, and overlayfs reads meaning into `trusted.overlay.*` attributes
and into character devices 0:0. Forward (`flatten`): files outside the image get `metacopy` and `redirect`, the tree's
own overlay attributes and whiteouts are escaped by one level, the root becomes opaque and hides 256 names `00`..`ff`
under which the object store would otherwise show. Backward (`restore`) undoes it.

Invariants: inodes are numbered breadth first in byte order of the names, `.` and `..` sorted among them; `restore`
after `flatten` gives the node back, except that in version 1 a directory that holds whiteouts keeps the mark
`opaque=x`.
Out of scope: bytes (see `powernode.erofs`).

    flat = flatten(root, version=1)
    image = write_erofs(flat.inodes)
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from powernode.base.errors import DataError
from powernode.composefs import _kinds
from powernode.composefs._kinds import TYPE_BITS, is_whiteout
from powernode.composefs._places import Survey, survey_tree
from powernode.composefs.tree import (
    BlockDevice,
    CharacterDevice,
    Directory,
    Node,
    RegularFile,
    Symlink,
    Xattrs,
)
from powernode.erofs._writer import Inode

PREFIX = b"trusted.overlay."
ESCAPE = b"overlay."
METACOPY = PREFIX + b"metacopy"
REDIRECT = PREFIX + b"redirect"
OPAQUE = PREFIX + b"opaque"
WHITEOUT_MARKS = ((PREFIX + ESCAPE + b"whiteout", b""), (b"user.overlay.whiteout", b""))
PARENT_MARKS = ((PREFIX + ESCAPE + b"whiteouts", b""), (b"user.overlay.whiteouts", b""))
PARENT_MARKS_1 = ((PREFIX + ESCAPE + b"opaque", b"x"), (b"user.overlay.opaque", b"x"))
"""Since version 1 overlayfs only looks for escaped whiteouts in directories marked so."""
METACOPY_HEADER = bytes((0, 36, 0, 1))
"""Version 0, 36 bytes, no flags, SHA-256; the fs-verity digest follows."""

STUB_NAMES = tuple(b"%02x" % number for number in range(256))
_UNACCOUNTED = frozenset((METACOPY, REDIRECT, OPAQUE))
_NEVER_RESTORED = frozenset((PARENT_MARKS[0][0], PARENT_MARKS[1][0], WHITEOUT_MARKS[1][0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """The inodes in image order, and for each the tree node it came from (or the stub)."""

    inodes: Sequence[Inode]
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What the attributes of a stored inode say about the tree's node; `payload` and `metacopy` as stored."""

    xattrs: Xattrs
    payload: bytes | None
    metacopy: bytes | None
    is_whiteout: bool


def flatten(
    root: Directory, *, version: int, survey: Survey | None = None, wide: AbstractSet[int] = frozenset()
) -> Flat:
    """The inodes of an image of `root`; `wide` has the ids of nodes whose inodes are of the large kind anyway."""
    places = (survey or survey_tree(root)).places
    nodes: list[Node] = [root]
    parents: list[int] = [0]
    listings: dict[int, list[tuple[bytes, Node]]] = {}
    stubs = _stubs(root)
    for number, node in enumerate(nodes):  # grows while it is walked: breadth first
        if not isinstance(node, Directory):
            continue
        children = {**stubs, **node.entries} if number == 0 else node.entries
        listing = listings[number] = sorted(children.items(), key=lambda item: item[0])
        for name, child in listing:
            place = places.get(id(child))
            if place is None or (place.directory_id == id(node) and place.name == name):
                nodes.append(child)
                parents.append(number)
    numbers = {id(node): number for number, node in enumerate(nodes)}
    stub_ids = {id(stub) for stub in stubs.values()}
    inodes: list[Inode] = []
    for number, node in enumerate(nodes):
        if isinstance(node, Directory):
            listing = listings[number]
            marks = _directory_marks(node, number, listing, numbers, parents, stub_ids, version)
            inodes.append(_directory_inode(node, listing, numbers, number, parents[number], marks))
        elif id(node) in stub_ids:
            inodes.append(_plain_inode(node, stat.S_IFCHR, node.xattrs))
        else:
            inode = _leaf_inode(node)
            inodes.append(replace(inode, is_wide=True) if id(node) in wide else inode)
    return Flat(inodes=inodes, nodes=nodes)


def escape(xattrs: Xattrs) -> Xattrs:
    """Move the tree's own overlay attributes one level down; the order by name stays."""
    if not any(name.startswith(PREFIX) for name, _ in xattrs):
        return xattrs
    return tuple(
        (PREFIX + ESCAPE + name[len(PREFIX) :] if name.startswith(PREFIX) else name, value) for name, value in xattrs
    )


def restore(mode: int, stored: Xattrs, *, is_root: bool, size: int, where: str) -> Restored:
    """Take the overlay attributes of a stored inode back out; the others keep their order. What overlayfs would read a
    meaning into that composefs does not use is refused."""
    xattrs: list[tuple[bytes, bytes]] = []
    payload: bytes | None = None
    metacopy: bytes | None = None
    # overlayfs takes only an empty regular file for a whiteout; elsewhere the attribute is just one of the tree's.
    can_be_whiteout = stat.S_ISREG(mode) and size == 0
    was_whiteout = False
    for name, value in stored:
        if name in _NEVER_RESTORED or (is_root and (name, value) == (OPAQUE, b"y")):
            continue
        if not name.startswith(PREFIX):
            xattrs.append((name, value))
        elif name == REDIRECT:
            payload = value
        elif name == METACOPY:
            metacopy = value
        elif not name.startswith(PREFIX + ESCAPE):
            raise DataError(
                "composefs.overlay-xattr",
                f"{where}: an overlayfs attribute that composefs does not use here",
                found=repr(name),
            )
        elif name == WHITEOUT_MARKS[0][0] and can_be_whiteout:
            was_whiteout = True
        else:
            xattrs.append((PREFIX + name[len(PREFIX + ESCAPE) :], value))
    return Restored(
        xattrs=tuple(xattrs),
        payload=payload,
        metacopy=metacopy,
        is_whiteout=was_whiteout,
    )


def object_path(redirect: bytes, where: str) -> bytes:
    """The path of the object. One slash was put in front; a payload that had its own keeps it."""
    payload = redirect[1:] if redirect.startswith(b"/") else redirect
    if not 0 < len(payload) <= _kinds.PATH_MAX or b"\0" in payload or b".." in payload.split(b"/"):
        raise DataError(
            "composefs.redirect",
            f"{where}: this cannot be the path of an object",
            expected=f"1 to {_kinds.PATH_MAX} bytes without NUL and ..",
            found=repr(payload[:80]),
        )
    return payload


def metacopy_digest(value: bytes, where: str) -> bytes | None:
    """The digest of the object, if it is known."""
    if not value:
        return None
    if len(value) != 36 or value[:4] != METACOPY_HEADER:
        raise DataError(
            "composefs.metacopy",
            f"{where}: a metacopy attribute of an unknown form",
            expected="empty, or 36 bytes with a SHA-256 digest",
            found=value[:8].hex(),
        )
    return value[4:]


def _stubs(root: Directory) -> dict[bytes, Node]:
    """The names that hide the object store; they look as if the root's owner had made them with the root."""
    xattrs = tuple(pair for pair in root.xattrs if pair[0] == b"security.selinux")
    return {
        name: CharacterDevice(
            mode=0o644, uid=root.uid, gid=root.gid, mtime_s=root.mtime_s, mtime_ns=root.mtime_ns, xattrs=xattrs
        )
        for name in STUB_NAMES
        if name not in root.entries
    }


def _directory_marks(
    node: Directory,
    number: int,
    listing: list[tuple[bytes, Node]],
    numbers: dict[int, int],
    parents: list[int],
    stub_ids: set[int],
    version: int,
) -> tuple[tuple[bytes, bytes], ...]:
    """The attributes a directory gets beside its own.

    A hard-linked whiteout marks only the directory it is stored in.
    """
    marks: tuple[tuple[bytes, bytes], ...] = ()
    if any(
        is_whiteout(child) and id(child) not in stub_ids and parents[numbers[id(child)]] == number
        for _, child in listing
    ):
        marks = PARENT_MARKS + PARENT_MARKS_1 if version >= 1 else PARENT_MARKS
    return marks if number else (*marks, (OPAQUE, b"y"))


def _directory_inode(
    node: Directory,
    listing: list[tuple[bytes, Node]],
    numbers: dict[int, int],
    number: int,
    parent: int,
    marks: tuple[tuple[bytes, bytes], ...],
) -> Inode:
    entries = [(name, numbers[id(child)]) for name, child in listing]
    entries += [(b".", number), (b"..", parent)]
    entries.sort()
    return Inode(
        mode=stat.S_IFDIR | node.mode,
        nlink=2 + sum(isinstance(child, Directory) for _, child in listing),
        uid=node.uid,
        gid=node.gid,
        mtime_s=node.mtime_s,
        mtime_ns=node.mtime_ns,
        xattrs=_with_marks(node.xattrs, marks),
        entries=entries,
    )


def _leaf_inode(node: Node) -> Inode:
    if isinstance(node, RegularFile) and node.size > 0 and node.content is None:
        metacopy = METACOPY_HEADER + node.digest if node.digest is not None else b""
        marks: tuple[tuple[bytes, bytes], ...] = ((METACOPY, metacopy),)
        if node.payload:
            marks = (*marks, (REDIRECT, b"/" + node.payload))
        return _plain_inode(node, stat.S_IFREG, _with_marks(node.xattrs, marks), hole_size=node.size)
    if isinstance(node, RegularFile):
        return _plain_inode(node, stat.S_IFREG, escape(node.xattrs), data=node.content or b"")
    if isinstance(node, Symlink):
        return _plain_inode(node, stat.S_IFLNK, escape(node.xattrs), data=node.target)
    if is_whiteout(node):
        return _plain_inode(node, stat.S_IFREG, _with_marks(node.xattrs, WHITEOUT_MARKS))
    rdev = node.rdev if isinstance(node, (CharacterDevice, BlockDevice)) else 0
    return _plain_inode(node, TYPE_BITS[type(node)], escape(node.xattrs), rdev=rdev)


def _with_marks(xattrs: Xattrs, marks: tuple[tuple[bytes, bytes], ...]) -> Xattrs:
    """The node's own attributes escaped, and the marks, which win over an attribute of the same name."""
    if not marks:
        return escape(xattrs)
    merged = dict(escape(xattrs))
    _check_replacements(merged, marks)
    merged.update(marks)
    return tuple(sorted(merged.items()))


def _check_replacements(own: Mapping[bytes, bytes], marks: tuple[tuple[bytes, bytes], ...]) -> None:
    """Refuse to put a mark in the place of a longer value, as the tool that defined the format does: its account of the
    room of these additions begins at zero, so what a replaced value gives back can take it below."""
    if own.keys().isdisjoint(name for name, _ in marks):
        return
    account, values = 0, dict(own)
    for name, value in marks:
        replaced = values.pop(name, None)
        if not values:
            account = 12  # the first attribute of an inode also pays for the header of all
        elif replaced is not None:
            account -= 7 + len(name) + len(replaced)
        account += 7 + len(name) + len(value)
        values[name] = value
        if name not in _UNACCOUNTED and not 0 <= account <= _kinds.XATTRS_SIZE_MAX:
            raise DataError(
                "composefs.overlay-xattr",
                f"an attribute {name!r} would have to be replaced, and is longer than the mark of overlayfs",
                expected="no such attribute, or a short one",
                found=f"{len(own[name]) if name in own else 0} bytes",
            )


def _plain_inode(
    node: Node, type_bits: int, xattrs: Xattrs, *, data: bytes = b"", hole_size: int = 0, rdev: int = 0
) -> Inode:
    return Inode(
        mode=type_bits | node.mode,
        nlink=node.nlink,
        uid=node.uid,
        gid=node.gid,
        mtime_s=node.mtime_s,
        mtime_ns=node.mtime_ns,
        xattrs=xattrs,
        data=data,
        hole_size=hole_size,
        rdev=rdev,
    )
