# SPDX-License-Identifier: MIT
"""A module's source folder: `manifest.yaml`, `rootfs/`, `Containerfile`, `packages.lock/`.

Invariants: a Source in hand has a manifest without a fault; what is in `rootfs/` is listed, not opened, and links are
not followed, also not where one is in the place of `rootfs/` or of a file that is read. What no layer could hold (too
much, a name that is too long or not UTF-8) is refused here, before anything is made of it. `rootfs/.gitkeep` keeps the
folder in git and is no file of the module; any other `.gitkeep` is.

Out of scope: explaining faults (`validate`), building.

    source = read_source(Path("my-redis"))
    source.manifest.name, source.rootfs["/etc/redis/redis.conf".encode()]
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from powernode.archive.chunked.entry import PATH_MAX_BYTES, Limits
from powernode.base.errors import DataError, OperatorError
from powernode.linux import files
from powernode.manifest.model import ModuleManifest, from_document, problems
from powernode.module.document import MAX_BYTES, Document, read

__all__ = ["CONTAINERFILE", "MANIFEST", "ROOTFS", "Source", "list_rootfs", "open_regular", "read_file"]
__all__ += ["read_manifest", "read_source"]

MANIFEST, ROOTFS, CONTAINERFILE = "manifest.yaml", "rootfs", "Containerfile"


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
    try:
        return read_file(folder / MANIFEST, MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        misspelt = folder / "manifest.yml"
        raise OperatorError(
            "module.source.missing",
            f"{folder} is no module's source",
            expected=f"a folder with {MANIFEST}",
            found=str(misspelt) if misspelt.is_file() else None,
            hint=f"mv {misspelt} {folder / MANIFEST}" if misspelt.is_file() else "powernode module new NAME makes one",
        ) from error


def read_file(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file of the checkout. None there: OSError, for the caller knows what that means."""
    try:
        return files.read_regular(str(path), limit)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR):
            raise
        raise DataError(
            "module.source.type",
            f"{path} is no ordinary file",
            expected="a file of the module's own, no link, directory or pipe",
            hint="put the file itself in its place",
        ) from error


def open_regular(path: Path) -> BinaryIO:
    """A file to be read piece by piece; OSError where a link, pipe or device is in its place, at once."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return os.fdopen(fd, "rb")


def list_rootfs(folder: Path) -> dict[bytes, int]:
    """What is below the folder; nothing if there is none."""
    found: dict[bytes, int] = {}
    try:
        top = folder.lstat()
    except FileNotFoundError:
        return found
    if not stat.S_ISDIR(top.st_mode):
        what = "a link, which could lead to anybody's files" if stat.S_ISLNK(top.st_mode) else "something else"
        raise DataError("module.rootfs.folder", f"{folder} is no folder", expected="a folder", found=what)
    size, limits = 0, Limits()
    pending = [(os.fsencode(folder), b"")]
    while pending:
        where, place = pending.pop()
        with os.scandir(where) as entries:
            for entry in entries:
                path = place + b"/" + entry.name
                if path == b"/.gitkeep":
                    continue
                _check_name(folder, path, entry.path)
                status = entry.stat(follow_symlinks=False)
                kind = stat.S_IFMT(status.st_mode)
                found[path] = kind
                size += status.st_size if kind == stat.S_IFREG else 0
                if kind == stat.S_IFDIR:
                    pending.append((entry.path, path))
        if size > limits.bytes or len(found) > limits.entries:
            raise DataError(
                "module.rootfs.size",
                f"{folder} is more than a layer holds",
                expected=f"at most {limits.bytes >> 30} GiB and {limits.entries} files",
                found=f"{size / (1 << 30):.1f} GiB and {len(found)} files, and perhaps more",
            )
    return dict(sorted(found.items()))


def _check_name(folder: Path, path: bytes, whole: bytes) -> None:
    shown = path[:200].decode("utf-8", "backslashreplace") + ("…" if len(path) > 200 else "")
    if max(len(path), len(whole)) > PATH_MAX_BYTES:
        raise DataError(
            "module.rootfs.name",
            f"a path in {folder} is too long",
            expected=f"at most {PATH_MAX_BYTES} bytes",
            found=shown,
        )
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(
            "module.rootfs.name", f"a name in {folder} is not UTF-8", expected="what JSON can hold", found=shown
        ) from None
