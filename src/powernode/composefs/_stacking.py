# SPDX-License-Identifier: MIT
"""The trees that are left, laid over each other as overlayfs would, into one tree.

Invariants: from the top down, a directory collects the directories below it until something that is no directory, or
an opaque directory, ends the descent. Among these the attributes are given by the module that protects the directory,
else by the highest that includes the directory itself, else (all have it just as a parent) by the highest. What hides
is not in the result: below the merged tree there is nothing left to hide. Names that were one inode in one module are
one inode again, with as many links as names are left; a node that two modules happen to share becomes two.
`Directory.links` is not passed on: where an image stores such an inode must not depend on how a module's tree was once
written. Time is linear in the entries.

Out of scope: file_spec, mask, protected_spec, locks: those have been applied to the trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from powernode.composefs._carve import is_opaque, log_below, without_opacity
from powernode.composefs._kinds import is_whiteout
from powernode.composefs._ownership import Findings, Member
from powernode.composefs.report import ConflictKind, Loss, Rule
from powernode.composefs.tree import Directory, Node

_Contender = tuple[int, Node]
_Layer = tuple[int, Directory]


class _Frame:
    __slots__ = ("entries", "layers", "like", "name", "parent", "path")

    def __init__(
        self, path: bytes, layers: list[_Layer], like: Directory, parent: dict[bytes, Node], name: bytes
    ) -> None:
        self.path = path
        self.like = like
        self.layers = layers
        self.entries: dict[bytes, Node] = {}
        self.parent = parent
        self.name = name


class Stack:
    """One merge. `givers`: the rank that gave each path; `removed`: the rank whose whiteout left a path empty."""

    def __init__(self, members: Sequence[Member], findings: Findings) -> None:
        self._members = members
        self._findings = findings
        self._links: dict[int, int] = {}
        self._claimed: dict[int, int] = {}
        self._copies: dict[tuple[int, int], Node] = {}
        self.givers: dict[bytes, int] = {}
        self.removed: dict[bytes, int] = {}

    def merge(self, trees: Sequence[Directory]) -> Directory:
        """The tree that the trees, highest first, make together."""
        result: dict[bytes, Node] = {}
        frames: list[_Frame] = []
        self._settle(b"/", list(enumerate(trees)), result, b"", frames)
        for frame in frames:  # grows at the end, parents first
            self._visit(frame, frames)
        relinked: dict[int, Node] = {}
        for frame in reversed(frames):
            frame.parent[frame.name] = self._finish(frame, relinked)
        root = result[b""]
        assert isinstance(root, Directory)
        return root

    def _visit(self, frame: _Frame, frames: list[_Frame]) -> None:
        prefix = frame.path if frame.path == b"/" else frame.path + b"/"
        entries, layers = frame.entries, frame.layers
        contested: dict[bytes, list[_Contender]] = {}
        for rank, directory in layers:
            for name, node in directory.entries.items():
                contested.setdefault(name, []).append((rank, node))
        for name in sorted(contested):
            self._settle(prefix + name, contested[name], entries, name, frames)

    def _settle(
        self, path: bytes, contenders: list[_Contender], entries: dict[bytes, Node], name: bytes, frames: list[_Frame]
    ) -> None:
        transparent: set[int] = set()
        if path in self._findings.shields and not (len(contenders) == 1 and isinstance(contenders[0][1], Directory)):
            contenders, transparent = self._respect_shields(path, contenders)
            if not contenders:
                return  # they would hide what is protected, also where that was lost to somebody else
        if len(contenders) == 1:
            rank, node = contenders[0]
            layers = [(rank, node)] if isinstance(node, Directory) else []
        else:
            rank, node, layers = self._contest(path, contenders, transparent)
        if isinstance(node, Directory):
            entries[name] = node  # keeps the place in the order of names until it is finished
            frames.append(_Frame(path, layers, node, entries, name))
        elif is_whiteout(node):
            self.removed[path] = rank
            return
        else:
            entries[name] = self._claim(rank, node)
        self.givers[path] = rank

    def _contest(
        self, path: bytes, contenders: list[_Contender], transparent: set[int]
    ) -> tuple[int, Node, list[_Layer]]:
        """Who gives the path, and, if it is a directory, the directories that merge there."""
        collision = self._find_collisions(path, contenders, transparent)
        top_rank, top = contenders[0]
        layers: list[_Layer] = []
        ended: tuple[int, Rule] | None = None
        for rank, node in contenders:
            if ended is None and isinstance(node, Directory):
                layers.append((rank, node))
                if is_opaque(node) and rank not in transparent:
                    ended = rank, Rule.OPAQUE
                continue
            if isinstance(node, Directory) and ended is not None:
                self._lose_tree(path, node, rank, *ended)
            elif node is not top or rank != top_rank:
                self._lose(path, rank, top_rank, Rule.WHITEOUT if is_whiteout(top) else Rule.HIGHER)
            if ended is None:
                ended = rank, Rule.WHITEOUT if is_whiteout(node) else Rule.REPLACED
        return (*self._find_giver(path, layers, collision), layers) if layers else (top_rank, top, layers)

    def _find_giver(self, path: bytes, layers: list[_Layer], collision: bool) -> _Layer:
        """The directory whose attributes count, among those that merge."""
        if len(layers) == 1:
            return layers[0]
        protector = self._findings.protected_directories.get(path)
        owners = [layer for layer in layers if layer[0] == protector]
        owners = owners or [layer for layer in layers if path not in self._members[layer[0]].borrowed] or layers
        giver, like = owners[0]
        attributes = _attributes(like)
        others = [rank for rank, directory in layers if _attributes(directory) != attributes]
        for rank in others:
            self._lose(path, rank, giver, Rule.ATTRIBUTES)
        priority = self._members[giver].priority
        equals = [rank for rank, _ in owners if self._members[rank].priority == priority]
        if not collision and not set(others).isdisjoint(equals):
            names = [self._members[rank].name for rank in equals]
            self._findings.conflict(path, ConflictKind.EQUAL_PRIORITY, names, "directories with different attributes")
        return giver, like

    def _respect_shields(self, path: bytes, contenders: list[_Contender]) -> tuple[list[_Contender], set[int]]:
        """Leave out what would hide a protected path; the ranks whose opacity does not count."""
        shields = self._findings.shields[path]
        transparent: set[int] = set()
        left: list[_Contender] = []
        for rank, node in contenders:
            owners = shields - {rank, self._members[rank].parent}
            if isinstance(node, Directory):
                # An opaque directory hides only what is not above it.
                under = [owner for owner in owners if self._members[owner].priority <= self._members[rank].priority]
                if under and is_opaque(node):
                    transparent.add(rank)
                    self._lose(path, rank, min(under), Rule.OPACITY)
            elif owners:
                self._lose(path, rank, min(owners), Rule.PROTECTED)
                continue
            left.append((rank, node))
        return left, transparent

    def _find_collisions(self, path: bytes, contenders: list[_Contender], transparent: set[int]) -> bool:
        """Members of equal priority whose order would matter for what is there; attributes are not looked at."""
        found = False
        highest = True
        for _, group in groupby(contenders, key=lambda contender: self._members[contender[0]].priority):
            equals = list(group)
            directories = [node for _, node in equals if isinstance(node, Directory)]
            hiding = [rank for rank, node in equals if isinstance(node, Directory) and is_opaque(node)]
            opaque = not transparent.issuperset(hiding)
            if len(equals) > 1:
                detail = None
                if len(directories) < len(equals):
                    if highest or directories:
                        detail = "a directory and something else" if directories else "the same path"
                elif opaque:
                    detail = "an opaque directory"
                if detail is not None:
                    names = [self._members[rank].name for rank, _ in equals]
                    self._findings.conflict(path, ConflictKind.EQUAL_PRIORITY, names, detail)
                    found = True
            if opaque or len(directories) < len(equals):
                break
            highest = False
        return found

    def _claim(self, rank: int, node: Node) -> Node:
        key = id(node)
        if self._claimed.setdefault(key, rank) != rank:
            node = self._copies.setdefault((rank, key), replace(node))
            key = id(node)
        self._links[key] = self._links.get(key, 0) + 1
        return node

    def _finish(self, frame: _Frame, relinked: dict[int, Node]) -> Directory:
        entries, links = frame.entries, self._links
        directories = 0
        for name, node in entries.items():
            if isinstance(node, Directory):
                directories += 1
            elif node.nlink != links[id(node)]:
                entries[name] = relinked.setdefault(id(node), replace(node, nlink=links[id(node)]))
        like = frame.like
        return Directory(
            mode=like.mode,
            uid=like.uid,
            gid=like.gid,
            mtime_s=like.mtime_s,
            mtime_ns=like.mtime_ns,
            nlink=2 + directories,
            xattrs=without_opacity(like.xattrs),
            entries=entries,
        )

    def _lose(self, path: bytes, loser: int, winner: int, rule: Rule) -> None:
        names = self._members[loser].name, self._members[winner].name
        self._findings.losses.append(Loss(path=path, loser=names[0], winner=names[1], rule=rule))

    def _lose_tree(self, path: bytes, directory: Directory, loser: int, winner: int, rule: Rule) -> None:
        self._lose(path, loser, winner, rule)
        log_below(path, directory, rule, lambda below, _: self._lose(below, loser, winner, rule))


def _attributes(node: Node) -> tuple[object, ...]:
    """What has to agree in directories of equal right. Times differ between any two builds and settle nothing."""
    return node.mode, node.uid, node.gid, without_opacity(node.xattrs)
