# SPDX-License-Identifier: MIT
"""One look over a tree before it is written: is it a tree, and where does each hard-linked node live?

Invariants: no recursion; every directory has one name, so the walk ends; only nodes with several names get a `Place`.
Out of scope: limits of names and values (see `_kinds`).

    survey = survey_tree(root)
    survey.places[id(node)].path    # where `node` is stored; its other names are links
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.composefs._kinds import is_whiteout
from powernode.composefs.tree import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    directory_id: int
    name: bytes
    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """`places` is keyed by `id(node)`; the tree keeps the nodes alive."""

    places: Mapping[int, Place]
    has_whiteout: bool


def survey_tree(root: Directory) -> Survey:
    """Find shared nodes and whiteouts; refuse a directory that is reached twice."""
    seen: set[int] = {id(root)}
    shared: set[int] = set()
    has_whiteout = False
    pending = [root]
    while pending:
        for node in pending.pop().entries.values():
            if id(node) in seen:
                if isinstance(node, Directory):
                    raise DataError("composefs.directory-twice", "a directory has two names, or contains itself")
                shared.add(id(node))
                continue
            seen.add(id(node))
            if isinstance(node, Directory):
                pending.append(node)
            elif not has_whiteout:
                has_whiteout = is_whiteout(node)
    return Survey(places=_find_places(root, shared) if shared else {}, has_whiteout=has_whiteout)


def _find_places(root: Directory, shared: set[int]) -> dict[int, Place]:
    """The first unmarked name in walk order, or else the first name."""
    places: dict[int, Place] = {}
    first_names: dict[int, Place] = {}
    pending: list[tuple[bytes, Directory]] = [(b"", root)]
    while pending:
        path, directory = pending.pop()
        subdirectories: list[tuple[bytes, Directory]] = []
        for name in sorted(directory.entries):
            node = directory.entries[name]
            child_path = path + b"/" + name
            if isinstance(node, Directory):
                subdirectories.append((child_path, node))
            elif id(node) in shared:
                place = Place(directory_id=id(directory), name=name, path=child_path)
                candidates = first_names if name in directory.links else places
                known = candidates.get(id(node))
                if known is None or _walk_key(place.path) < _walk_key(known.path):
                    candidates[id(node)] = place
        pending.extend(reversed(subdirectories))
    return first_names | places


def _walk_key(path: bytes) -> list[bytes]:
    """Sorts as `walk` visits: a directory's whole subtree comes before the directory's next sibling."""
    return path.split(b"/")
