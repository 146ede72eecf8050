# SPDX-License-Identifier: MIT
"""Small modules for the tests of the merge, and short words for what came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from powernode.composefs.merge import MergeInput, MergeResult, merge
from powernode.composefs.report import ConflictKind, MergeConflictError, Rule
from powernode.composefs.tree import CharacterDevice, Directory, Node, RegularFile, walk
from powernode.manifest.globs import compile_globs

WHITEOUT = CharacterDevice(rdev=0)


def tree(paths: dict[str, Node | str], **directories: Directory) -> Directory:
    """Directories come from the paths; a text is the content of a file. `/x/` is an empty directory."""
    nested: dict[bytes, object] = {}
    for path, value in paths.items():
        *parents, name = path.strip("/").split("/")
        at = nested
        for parent in parents:
            at = at.setdefault(parent.encode(), {})  # type: ignore[assignment]
        node = RegularFile(size=len(value), content=value.encode()) if isinstance(value, str) else value
        at[name.encode()] = {} if path.endswith("/") else node

    def build(entries: dict[bytes, object], path: str) -> Directory:
        like = directories.get(path.replace("/", "_"), Directory())
        built = {n: build(v, f"{path}/{n.decode()}") if isinstance(v, dict) else v for n, v in entries.items()}
        return replace(like, entries=cast("dict[bytes, Node]", built))

    return build(nested, "")


def opaque(name: bytes = b"trusted.overlay.opaque") -> Directory:
    return Directory(xattrs=((name, b"y"),))


def module(
    name: str,
    priority: int,
    content: Directory | dict[str, Node | str],
    *,
    files: Sequence[str] | None = ("/**",),
    mask: Sequence[str] = (),
    protected: Sequence[str] = (),
    dependency: Sequence[str] | None = None,
    locked: bool = False,
    parent: str | None = None,
) -> MergeInput:
    return MergeInput(
        name=name,
        effective_priority=priority,
        tree=content if isinstance(content, Directory) else tree(content),
        file_spec=None if files is None or parent else compile_globs(files),
        mask=compile_globs(mask) if mask else None,
        protected_spec=compile_globs(protected) if protected else None,
        dependency_spec=None if dependency is None else compile_globs(dependency),
        locked=locked,
        parent=parent,
    )


def content(result: MergeResult) -> dict[str, str]:
    """Leaves by path: the content, or the type."""
    return {
        path.decode(): node.content.decode() if isinstance(node, RegularFile) and node.content else type(node).__name__
        for path, node in walk(result.tree)
        if not isinstance(node, Directory)
    }


def losses(result: MergeResult) -> list[tuple[str, str, str | None, Rule]]:
    return [(loss.path.decode(), loss.loser, loss.winner, loss.rule) for loss in result.lost]


def conflicts(*modules: MergeInput) -> list[tuple[str, ConflictKind, tuple[str, ...]]]:
    with pytest.raises(MergeConflictError) as caught:
        merge(modules)
    return [(conflict.path.decode(), conflict.kind, conflict.modules) for conflict in caught.value.conflicts]


def node_at(result: MergeResult, path: bytes) -> Node:
    return dict(walk(result.tree))[path]
