# SPDX-License-Identifier: MIT
"""A composefs tree as the entries of a layer, and the other way round.

Invariants: a bijection, for trees without hard links, fractions of seconds, devices, pipes and sockets; everything else
is refused. A tree is made of entries that were checked already: parents first, every name once.

    tree_of(entries_of(tree))      # equal to tree
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from powernode.archive.chunked.entry import INLINE_MAX_BYTES, Entry, Kind
from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.composefs import image as images
from powernode.composefs.store import object_path
from powernode.composefs.tree import Directory, Node, RegularFile, Symlink, walk
from powernode.module.directory import MIN_VERSION

__all__ = ["MIN_VERSION", "composefs_digest", "entries_of", "tree_of"]


def entries_of(root: Directory) -> Iterator[Entry]:
    """The tree as the entries of a layer, parents first, siblings in byte order."""
    seen: set[int] = set()
    for place, node in walk(root):
        path = place[1:]
        if id(node) in seen:
            raise _unfit("hard-link", path, "is a further name of a file", "a file of its own for each name")
        if node.mtime_ns:
            raise _unfit("time", path, "has a time with fractions of a second", "whole seconds")
        seen.add(id(node))
        yield _entry_of(path, node)


def _entry_of(path: bytes, node: Node) -> Entry:
    entry = Entry(
        path=path,
        kind=Kind.DIRECTORY,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        mtime_s=node.mtime_s,
        xattrs=node.xattrs,
    )
    if isinstance(node, Directory):
        return entry
    if isinstance(node, Symlink):
        return replace(entry, kind=Kind.SYMLINK, target=node.target)
    if not isinstance(node, RegularFile):
        raise _unfit("type", path, f"is a {type(node).__name__}", "files, directories and symbolic links")
    if node.size <= INLINE_MAX_BYTES:
        if len(node.content or b"") != node.size:
            raise _unfit("content", path, "is small, but its content is not in the tree", "what the image holds itself")
        return replace(entry, kind=Kind.FILE, size=node.size, content=node.content)
    if node.digest is None or node.payload != object_path(node.digest).encode():
        raise _unfit("digest", path, "has no fs-verity digest that names its object", "a file of an object store")
    return replace(entry, kind=Kind.FILE, size=node.size, verity=node.digest)


def tree_of(entries: Iterable[Entry]) -> Directory:
    """The tree of the entries of a layer."""
    below: dict[bytes, dict[bytes, Node]] = {b"": {}}
    root = Entry(path=b"", kind=Kind.DIRECTORY, mode=0o755)
    nodes: list[tuple[Entry, dict[bytes, Node]]] = []
    for entry in entries:
        if entry.kind is Kind.DIRECTORY:
            below.setdefault(entry.path, {})
        if entry.path:
            nodes.append((entry, below[entry.path.rpartition(b"/")[0]]))
        else:
            root = entry
    for entry, siblings in reversed(nodes):  # what is in a directory comes after it, so here before it
        siblings[entry.path.rpartition(b"/")[2]] = _node(entry, below)
    node = _node(root, below)
    assert isinstance(node, Directory)
    return node


def composefs_digest(entries: Iterable[Entry]) -> Digest:
    """The digest of the composefs image that the entries make."""
    return images.digest(images.from_tree(tree_of(entries), min_version=MIN_VERSION))


def _node(entry: Entry, below: dict[bytes, dict[bytes, Node]]) -> Node:
    if entry.kind is Kind.DIRECTORY:
        inner = below[entry.path]
        return Directory(
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime_s=entry.mtime_s,
            xattrs=entry.xattrs,
            nlink=2 + sum(isinstance(node, Directory) for node in inner.values()),
            entries=inner,
        )
    if entry.kind is Kind.SYMLINK:
        return Symlink(
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime_s=entry.mtime_s,
            xattrs=entry.xattrs,
            target=entry.target,
        )
    return RegularFile(
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime_s=entry.mtime_s,
        xattrs=entry.xattrs,
        size=entry.size,
        content=entry.content or None,
        payload=object_path(entry.verity).encode() if entry.verity is not None else None,
        digest=entry.verity,
    )


def _unfit(what: str, path: bytes, found: str, expected: str) -> DataError:
    shown = repr(f"/{path[:200].decode('utf-8', 'replace')}")
    return DataError(f"module.layer.{what}", f"{shown} {found}", expected=expected)
