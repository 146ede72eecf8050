# SPDX-License-Identifier: MIT
"""A tree and its packages in figures, for people who want to know what a module is made of.

Invariants: pure, in one order; a content counts once in sizes, however many files have it.

    counts(tree)["objects"], largest(tree, 10)[0], licences(packages)["MIT"]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from powernode.composefs.tree import Directory, RegularFile, Symlink, walk
from powernode.module.shipped import Shipped

__all__ = ["Listed", "counts", "kind_of", "largest", "licences", "listing"]

_NO_LICENCE = re.compile(r"\s+|[()]|\b(?:AND|OR)\b")
_WITH = re.compile(r" WITH (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry; `digest` is the fs-verity digest of a file that is an object."""

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    target: bytes | None
    digest: str | None


def listing(tree: Directory) -> list[Listed]:
    """Every entry but the root."""
    return [
        Listed(
            path=path,
            kind=kind_of(node),
            mode=node.mode,
            uid=node.uid,
            gid=node.gid,
            size=node.size if isinstance(node, RegularFile) else 0,
            target=node.target if isinstance(node, Symlink) else None,
            digest=node.digest.hex() if isinstance(node, RegularFile) and node.digest is not None else None,
        )
        for path, node in walk(tree)
        if path != b"/"
    ]


def kind_of(node: object) -> str:
    return {RegularFile: "file", Directory: "directory", Symlink: "link"}.get(type(node), "device or pipe")


def counts(tree: Directory) -> dict[str, int]:
    """Files, directories and links, and what they hold in bytes."""
    nodes = [node for _, node in walk(tree)]
    files = [node for node in nodes if isinstance(node, RegularFile)]
    objects = {node.digest: node.size for node in files if node.digest is not None}
    return {
        "files": len(files),
        "directories": sum(isinstance(node, Directory) for node in nodes),
        "links": sum(isinstance(node, Symlink) for node in nodes),
        "objects": len(objects),
        "size_bytes": sum(objects.values()) + sum(node.size for node in files if node.digest is None),
    }


def largest(tree: Directory, most: int) -> list[tuple[bytes, int]]:
    """The largest files."""
    files = [(path, node.size) for path, node in walk(tree) if isinstance(node, RegularFile)]
    return sorted(files, key=lambda each: (-each[1], each[0]))[:most]


def licences(packages: Iterable[Shipped]) -> dict[str, int]:
    """Every licence that is named, and in how many packages; `unstated` counts those that name none."""
    found: Counter[str] = Counter()
    for package in packages:
        if package.licence is None:
            found["unstated"] += 1
            continue
        # An exception is part of its licence's name, and the rest of an expression is operators.
        joined = _WITH.sub(r"+WITH+\1", package.licence)
        names = {name.replace("+WITH+", " WITH ") for name in _NO_LICENCE.split(joined) if name}
        found.update(names)
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
