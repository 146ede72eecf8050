# SPDX-License-Identifier: MIT
"""Remove the objects nobody needs, and what dead writers left behind.

Invariants: while objects are removed no batch is alive, because a batch may rely on an object that it found; a dry run
changes nothing and waits for nobody; a reference that cannot be understood is an error, never "not needed".

Out of scope: knowing which images exist.

    report = collect(root, [image_objects_a, image_objects_b], dry_run=True)
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from powernode.base.durable import sync_folder
from powernode.base.errors import MachineError
from powernode.composefs._object_batch import Progress
from powernode.composefs._object_errors import on_this_machine
from powernode.composefs._object_files import abandoned_folders, batch_files, remove_folder
from powernode.composefs._object_names import FAN_OUT, digest_of, parse_name
from powernode.linux import files


@dataclass(frozen=True, slots=True, kw_only=True)
class GcReport:
    """`removed` and `freed_bytes` are what would be removed if `dry_run`; `absent` was to be kept and is not there."""

    dry_run: bool
    removed: tuple[bytes, ...]
    freed_bytes: int
    kept: int
    absent: tuple[bytes, ...]
    temporary_files: int


def collect(
    root: str, keep: Iterable[bytes | Iterable[bytes]], *, dry_run: bool, progress: Progress | None
) -> GcReport:
    wanted = _flatten(keep)
    with on_this_machine("collect garbage in the object store", root):
        lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not dry_run and not files.try_lock(lock):
                raise MachineError(
                    "composefs.store.busy",
                    f"somebody is writing to the object store {root}",
                    hint="try again when it is done; a dry run is possible at any time",
                )
            return _collect(root, wanted, dry_run, progress)
        finally:
            os.close(lock)


def _collect(root: str, wanted: set[bytes], dry_run: bool, progress: Progress | None) -> GcReport:
    removed: list[bytes] = []
    freed = 0
    present: set[bytes] = set()
    for done, folder in enumerate(FAN_OUT, 1):
        path = f"{root}/{folder}"
        try:
            names = sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            names = []
        before = len(removed)
        for name in names:
            digest = parse_name(folder, name)
            if digest is None:
                continue  # not ours to judge: fsck reports it
            if digest in wanted:
                present.add(digest)
                continue
            with suppress(FileNotFoundError):  # in a dry run somebody else may be quicker
                freed += os.lstat(f"{path}/{name}").st_blocks * 512
                if not dry_run:
                    os.unlink(f"{path}/{name}")
                removed.append(digest)
        if len(removed) > before and not dry_run:
            sync_folder(path)
        if progress is not None:
            progress("collect", done, len(FAN_OUT))
    return GcReport(
        dry_run=dry_run,
        removed=tuple(removed),
        freed_bytes=freed,
        kept=len(present),
        absent=tuple(sorted(wanted - present)),
        temporary_files=_clean(root, dry_run),
    )


def _clean(root: str, dry_run: bool) -> int:
    count = 0
    for folder, lock in abandoned_folders(root):
        try:
            count += len(batch_files(folder)) if dry_run else remove_folder(folder)
        finally:
            os.close(lock)
    return count


def _flatten(keep: Iterable[bytes | Iterable[bytes]]) -> set[bytes]:
    wanted: set[bytes] = set()
    for item in keep:
        if isinstance(item, bytes):
            wanted.add(digest_of(item))
        else:
            wanted.update(digest_of(reference) for reference in item)
    return wanted
