# SPDX-License-Identifier: MIT
"""A tree as composefs-dump text.

The text is what `composefs-info dump` prints of an image of the tree: directories with the size and link count they
have in an image, attributes that several inodes share behind those they do not, a hard link as a line with `@` and
the path of the node's place.

Invariants: the text decides the tree (parsing it gives the tree again, with link counts of directories computed), so
trees are compared by it. Lines in walk order; no recursion.
Out of scope: filtering, `ls`.

    print_dump(parse_dump(text)) == text     # for text that came from an image
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from powernode.composefs._kinds import TYPE_BITS
from powernode.composefs._overlay import escape, flatten
from powernode.composefs._places import Place, survey_tree
from powernode.composefs._tree_check import check_tree
from powernode.composefs.tree import BlockDevice, CharacterDevice, Directory, Node, RegularFile, Symlink, Xattrs
from powernode.erofs._dirent import directory_size
from powernode.erofs._writer import Inode
from powernode.erofs._xattr import SharedXattrs, share

FIELDS = b"%s %d %s%o %d %d %d %d %d.%d %s %s %s"
"""path, size, `@` of a link, mode, nlink, uid, gid, rdev, mtime, payload, content, digest."""
_SPECIAL = re.compile(rb"[^!-\[\]-~]")
_SPECIAL_IN_PATH = re.compile(rb"[^ -\[\]-~]")
_SPECIAL_OR_EQUALS = re.compile(rb"[^!-<>-\[\]-~]")
_NAMED = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}


def print_dump(root: Directory) -> bytes:
    """The dump of a tree."""
    survey = survey_tree(root)
    check_tree(root)
    # Version 0 adds no attributes to the parents of whiteouts; in a tree that came from a version 1 image they are
    # there.
    flat = flatten(root, version=0, survey=survey)
    inodes = {id(node): inode for node, inode in zip(flat.nodes, flat.inodes, strict=True)}
    shared = share(inode.xattrs for inode in flat.inodes)
    lines: list[bytes] = []
    pending: list[tuple[bytes, bytes, int, Node]] = [(b"", b"", 0, root)]
    while pending:
        path, name, directory_id, node = pending.pop()
        link_path = _link_path(survey.places, node, name, directory_id)
        lines.append(_line(path or b"/", node, inodes[id(node)], shared, link_path))
        if isinstance(node, Directory):
            pending.extend(
                (path + b"/" + child, child, id(node), node.entries[child])
                for child in sorted(node.entries, reverse=True)
            )
    return b"".join(lines)


def escape_text(text: bytes) -> bytes:
    """A field: everything but printable ASCII without space becomes an escape."""
    return _SPECIAL.sub(_escape_byte, text)


def escape_path(text: bytes) -> bytes:
    """A path of a listing, where spaces stay."""
    return _SPECIAL_IN_PATH.sub(_escape_byte, text)


def _escape_byte(match: re.Match[bytes]) -> bytes:
    return _NAMED.get(match[0]) or b"\\x%02x" % match[0][0]


def end_line(fields: bytes, xattrs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The line: its fields with the attributes behind them."""
    pairs = (_escape_xattr(name) + b"=" + _escape_xattr(value) for name, value in xattrs)
    return b" ".join((fields, *pairs)) + b"\n"


def _escape_xattr(text: bytes) -> bytes:
    return _SPECIAL_OR_EQUALS.sub(_escape_byte, text)


def escape_optional(text: bytes | None) -> bytes:
    if text is None:
        return b"-"
    return b"\\x2d" if text == b"-" else escape_text(text)


def _link_path(places: Mapping[int, Place], node: Node, name: bytes, directory_id: int) -> bytes | None:
    place = places.get(id(node))
    if place is None or (place.directory_id == directory_id and place.name == name):
        return None
    return place.path


def _line(path: bytes, node: Node, inode: Inode, shared: SharedXattrs, link_path: bytes | None) -> bytes:
    size = 0
    rdev = 0
    payload: bytes | None = None
    content: bytes | None = None
    digest: bytes | None = None
    if isinstance(node, RegularFile):
        size, payload, content, digest = node.size, node.payload, node.content or None, node.digest
    elif isinstance(node, Symlink):
        size, payload = len(node.target), node.target
    elif isinstance(node, Directory):
        size = directory_size([name for name, _ in inode.entries])
    elif isinstance(node, (CharacterDevice, BlockDevice)):
        rdev = node.rdev
    fixed = FIELDS % (
        escape_text(path),
        size,
        b"@" if link_path is not None else b"",
        TYPE_BITS[type(node)] | node.mode,
        inode.nlink,
        node.uid,
        node.gid,
        rdev,
        node.mtime_s,
        node.mtime_ns,
        escape_optional(link_path if link_path is not None else payload),
        escape_optional(content),
        digest.hex().encode("ascii") if digest is not None else b"-",
    )
    return end_line(fixed, _stored_order(node.xattrs, inode, shared))


def _stored_order(xattrs: Xattrs, inode: Inode, shared: SharedXattrs) -> list[tuple[bytes, bytes]]:
    """Those carried by the inode before those it refers to; each group keeps its order by name."""
    referenced, _ = shared.split(inode.xattrs)
    if not referenced:
        return list(xattrs)
    behind = set(referenced)
    both = list(zip(xattrs, escape(xattrs), strict=True))
    return [pair for pair, stored in both if stored not in behind] + [pair for pair, stored in both if stored in behind]
