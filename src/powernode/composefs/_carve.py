# SPDX-License-Identifier: MIT
"""A module's own part of a tree: what its `file_spec` includes minus its own `mask`.

Invariants: a directory stays when the file_spec includes it or when something below it stays; a mask takes a directory
with everything below it. A directory that stays only as a parent is *borrowed*: it is not the module's to empty, so it
loses its opacity, and its attributes count only where nobody owns the directory. Hard links, nodes and everything else
are passed on as they are; time is linear in the entries visited, and a subtree that is wholly included and unmasked is
passed on unvisited.

Out of scope: other modules.

    carve(tree, file_spec=compile_globs(["/etc/**"]), mask=None, log=log).tree
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from powernode.composefs.matching import MatchState, PathMatcher
from powernode.composefs.report import Rule
from powernode.composefs.tree import Directory, Node, Xattrs

OPAQUE_XATTRS = (b"trusted.overlay.opaque", b"user.overlay.opaque")

Log = Callable[[bytes, Rule], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carved:
    """`borrowed`: paths of the directories that are there only as parents of what is included."""

    tree: Directory
    borrowed: frozenset[bytes]


def is_opaque(directory: Directory) -> bool:
    """`x` is not opaque: it marks directories that hold whiteouts of the xattr kind."""
    return any(name in OPAQUE_XATTRS and value == b"y" for name, value in directory.xattrs)


def without_opacity(xattrs: Xattrs) -> Xattrs:
    """The attributes a directory keeps once there is nothing left to hide."""
    if not xattrs:
        return xattrs
    return tuple((name, value) for name, value in xattrs if name not in OPAQUE_XATTRS or value != b"y")


def with_entries(directory: Directory, entries: dict[bytes, Node], *, opaque: bool) -> Directory:
    """The same directory with other entries; `opaque` false takes its opacity away."""
    return Directory(
        mode=directory.mode,
        uid=directory.uid,
        gid=directory.gid,
        mtime_s=directory.mtime_s,
        mtime_ns=directory.mtime_ns,
        nlink=directory.nlink,
        xattrs=directory.xattrs if opaque else without_opacity(directory.xattrs),
        entries=entries,
    )


def log_below(path: bytes, directory: Directory, rule: Rule, log: Log) -> None:
    """Write every path below a directory to the log."""
    stack = [(path, directory)]
    while stack:
        at, inner = stack.pop()
        prefix = at if at == b"/" else at + b"/"
        for name, node in inner.entries.items():
            log(prefix + name, rule)
            if isinstance(node, Directory):
                stack.append((prefix + name, node))


class _Frame:
    __slots__ = ("directory", "include", "included", "kept", "mask", "name", "parent", "path")

    def __init__(
        self,
        directory: Directory,
        path: bytes,
        include: MatchState | None,
        mask: MatchState | None,
        included: bool,
        parent: dict[bytes, Node],
        name: bytes,
    ) -> None:
        self.directory = directory
        self.path = path
        self.include = include
        self.mask = mask
        self.included = included
        self.kept: dict[bytes, Node] = {}
        self.parent = parent
        self.name = name


def carve(tree: Directory, *, file_spec: PathMatcher, mask: PathMatcher | None, log: Log) -> Carved:
    """The module's part; `log` is told each path that is left out and why."""
    include = file_spec.start()
    mask_start = None if mask is None else mask.start()
    result: dict[bytes, Node] = {}
    owns_root = include is not None and include.everything
    frames = [_Frame(tree, b"/", include, mask_start, owns_root, result, b"")]
    # Frames grow at the end while they are read, so parents always come before their children ...
    for frame in frames:
        _visit(frame, frames, log)
    # ... and backwards every directory is finished before its parent asks whether anything in it stayed.
    borrowed: list[bytes] = []
    for frame in reversed(frames):
        if not (frame.included or frame.kept or frame.path == b"/"):
            log(frame.path, Rule.NOT_INCLUDED)
            continue
        if not frame.included:
            borrowed.append(frame.path)
            if is_opaque(frame.directory):
                log(frame.path, Rule.OPACITY)
        frame.parent[frame.name] = with_entries(frame.directory, frame.kept, opaque=frame.included)
    root = result[b""]
    assert isinstance(root, Directory)
    return Carved(tree=root, borrowed=frozenset(borrowed))


def _visit(frame: _Frame, frames: list[_Frame], log: Log) -> None:
    include, mask = frame.include, frame.mask
    if mask is None and include is not None and include.everything:
        frame.kept.update(frame.directory.entries)
        return
    prefix = frame.path if frame.path == b"/" else frame.path + b"/"
    for name, node in frame.directory.entries.items():
        is_directory = isinstance(node, Directory)
        masked, mask_below = (False, None) if mask is None else mask.step(name, is_directory)
        included, include_below = (False, None) if include is None else include.step(name, is_directory)
        if masked or (not included and include_below is None):
            rule = Rule.MASK if masked else Rule.NOT_INCLUDED
            path = prefix + name
            log(path, rule)
            if isinstance(node, Directory):
                log_below(path, node, rule, log)
        elif isinstance(node, Directory):
            frames.append(_Frame(node, prefix + name, include_below, mask_below, included, frame.kept, name))
        else:
            frame.kept[name] = node
