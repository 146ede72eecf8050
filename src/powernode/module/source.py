# SPDX-License-Identifier: MIT
"""A module's source folder: `manifest.yaml`, `rootfs/`, `Containerfile`, `packages.lock/`.

Invariants: a Source in hand has a manifest without a fault; what is in `rootfs/` is listed, not opened, and links are
not followed. `rootfs/.gitkeep` keeps the folder in git and is no file of the module; any other `.gitkeep` is.

Out of scope: explaining faults (`validate`), building.

    source = read_source(Path("my-redis"))
    source.manifest.name, source.rootfs["/etc/redis/redis.conf".encode()]
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from powernode.base.errors import OperatorError
from powernode.manifest.model import ModuleManifest, from_document, problems
from powernode.module.document import MAX_BYTES, Document, read

__all__ = ["MANIFEST", "ROOTFS", "Source", "list_rootfs", "read_manifest", "read_source"]

MANIFEST, ROOTFS = "manifest.yaml", "rootfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """`rootfs`: the paths below it from the root of the tree, with their file types (stat.S_IFMT)."""

    folder: Path
    manifest: ModuleManifest
    document: Document
    rootfs: Mapping[bytes, int]


def read_source(folder: Path) -> Source:
    """The source, or a DataError with the first thing that is wrong with its manifest, and where."""
    document = read(read_manifest(folder), str(folder / MANIFEST))
    for problem in problems(document.value):
        line, column = document.position(problem.path, at_key=problem.at_key)
        error = problem.error(f"{folder / MANIFEST}:{line}:{column}")
        error.hint = error.hint or f"powernode module validate {folder}"
        raise error
    manifest = from_document(document.value)
    return Source(folder=folder, manifest=manifest, document=document, rootfs=list_rootfs(folder / ROOTFS))


def read_manifest(folder: Path) -> bytes:
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise OperatorError(
            "module.source.missing",
            f"{folder} is no module's source",
            expected=f"a folder with {MANIFEST}",
            hint="powernode module new NAME makes one",
        ) from error


def list_rootfs(folder: Path) -> dict[bytes, int]:
    """What is below the folder; nothing if there is none."""
    found: dict[bytes, int] = {}
    pending = [(os.fsencode(folder), b"")]
    while pending:
        where, place = pending.pop()
        if not place and not os.path.isdir(where):
            break
        with os.scandir(where) as entries:
            for entry in entries:
                path = place + b"/" + entry.name
                kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
                if path == b"/.gitkeep":
                    continue
                found[path] = kind
                if kind == stat.S_IFDIR:
                    pending.append((entry.path, path))
    return dict(sorted(found.items()))
