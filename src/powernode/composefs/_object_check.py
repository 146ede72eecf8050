# SPDX-License-Identifier: MIT
"""Prove that every object is what its name says.

Invariants: every byte is read; a check changes nothing; a repair never deletes content: what is wrong goes to
`.quarantine/`, from where it can be looked at, and what is right gets its seal.

Out of scope: fetching again what was set aside (`ObjectStore.missing` lists it).

    report = check_store(root, digest_fd, repair=False, jobs=2, progress=None)
    report.is_clean
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from powernode.base.durable import sync_folder
from powernode.base.errors import MachineError, PowernodeError
from powernode.composefs._object_batch import Progress
from powernode.composefs._object_errors import on_this_machine
from powernode.composefs._object_files import (
    QUARANTINE,
    TEMPORARY_PREFIX,
    abandoned_folders,
    remove_folder,
    seal_object,
)
from powernode.composefs._object_names import FAN_OUT, object_path, parse_name
from powernode.linux import fsverity


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """An object that is not what its name says. `found` is the digest of what is there, or None if it is unreadable."""

    digest: bytes
    found: bytes | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FsckReport:
    """Paths are relative to the store. `unsealed` is only filled where the filesystem supports fs-verity."""

    checked: int
    size_bytes: int
    damaged: tuple[Damage, ...]
    misnamed: tuple[str, ...]
    unsealed: tuple[bytes, ...]
    temporary: tuple[str, ...]
    repaired: bool

    @property
    def is_clean(self) -> bool:
        return not (self.damaged or self.misnamed or self.unsealed or self.temporary)


@dataclass(slots=True)
class _Folder:
    """What was found in one of the 256 directories."""

    checked: int = 0
    size_bytes: int = 0
    damaged: list[Damage] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    unsealed: list[bytes] = field(default_factory=list)


def check_store(
    root: str,
    digest_fd: Callable[[int], bytes],
    *,
    repair: bool,
    jobs: int,
    progress: Progress | None,
) -> FsckReport:
    with on_this_machine("check the object store", root):
        misnamed = _strangers(root)
        temporary = []
        for folder, lock in abandoned_folders(root):
            try:
                temporary.append(os.path.basename(folder))
                if repair:
                    remove_folder(folder)
            finally:
                os.close(lock)
        folders: list[_Folder] = []
        with ThreadPoolExecutor(max(1, jobs)) as pool:  # digest_fd is expected to let go of the interpreter
            results = pool.map(lambda folder: _check_folder(root, folder, digest_fd), FAN_OUT)
            for done, result in enumerate(results, 1):
                folders.append(result)
                if progress is not None:
                    progress("check", done, len(FAN_OUT))
        report = FsckReport(
            checked=sum(folder.checked for folder in folders),
            size_bytes=sum(folder.size_bytes for folder in folders),
            damaged=tuple(damage for folder in folders for damage in folder.damaged),
            misnamed=tuple(misnamed + [name for folder in folders for name in folder.misnamed]),
            unsealed=tuple(digest for folder in folders for digest in folder.unsealed),
            temporary=tuple(temporary),
            repaired=repair,
        )
        if repair:
            _set_aside(root, [object_path(damage.digest) for damage in report.damaged] + list(report.misnamed))
            for digest in report.unsealed:
                seal_object(f"{root}/{object_path(digest)}", digest)
    return report


def seal_store(root: str, digests: list[bytes], *, jobs: int, progress: Progress | None) -> int:
    """Seal the objects that are not sealed yet; the kernel's digest must be the name."""

    def seal(digest: bytes) -> bool:
        return seal_object(f"{root}/{object_path(digest)}", digest)

    count = 0
    with on_this_machine("seal the objects", root), ThreadPoolExecutor(max(1, jobs)) as pool:
        for done, new in enumerate(pool.map(seal, digests), 1):
            count += new
            if progress is not None:
                progress("seal", done, len(digests))
    return count


def _check_folder(root: str, folder: str, digest_fd: Callable[[int], bytes]) -> _Folder:
    result = _Folder()
    try:
        names = sorted(os.listdir(f"{root}/{folder}"))
    except FileNotFoundError:
        return result
    except NotADirectoryError:
        result.misnamed.append(folder)
        return result
    for name in names:
        path = f"{root}/{folder}/{name}"
        digest = parse_name(folder, name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue  # collected meanwhile
        if digest is None or not stat.S_ISREG(status.st_mode):
            result.misnamed.append(f"{folder}/{name}")
            continue
        result.checked += 1
        result.size_bytes += status.st_size
        damage, unsealed = _check_object(path, digest, digest_fd)
        if damage is not None:
            result.damaged.append(damage)
        elif unsealed:
            result.unsealed.append(digest)
    return result


def _check_object(path: str, digest: bytes, digest_fd: Callable[[int], bytes]) -> tuple[Damage | None, bool]:
    """What is wrong with the object, and whether it could be sealed and is not."""
    unsealed = False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            try:
                _, measured = fsverity.measure(fd)
            except MachineError as error:
                measured = digest
                unsealed = error.code == "linux.fsverity.not-enabled"  # and not one of "this machine cannot"
            found = digest_fd(fd)  # also where the kernel knows a digest: only reading shows that the data is readable
        finally:
            os.close(fd)
    except (OSError, PowernodeError) as error:
        return Damage(digest=digest, found=None, reason=f"unreadable: {error}"), unsealed
    if found != digest:
        return Damage(digest=digest, found=found, reason="other content"), unsealed
    if measured != digest:
        return Damage(digest=digest, found=measured, reason="sealed with other parameters"), unsealed
    return None, unsealed


def _strangers(root: str) -> list[str]:
    """What lies in the store's top directory and does not belong there."""
    known = {*FAN_OUT, QUARANTINE}
    with os.scandir(root) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name not in known
            and not (entry.name.startswith(TEMPORARY_PREFIX) and entry.is_dir(follow_symlinks=False))
        )


def _set_aside(root: str, paths: Iterable[str]) -> None:
    folders = {root}
    quarantine = f"{root}/{QUARANTINE}"
    for path in paths:
        os.makedirs(quarantine, 0o700, exist_ok=True)
        os.rename(f"{root}/{path}", _free_name(f"{quarantine}/{path.replace('/', '-')}"))
        folders |= {quarantine, os.path.dirname(f"{root}/{path}")}
    for folder in sorted(folders):
        sync_folder(folder)


def _free_name(path: str) -> str:
    return next(name for name in _numbered(path) if not os.path.lexists(name))


def _numbered(path: str) -> Iterator[str]:
    yield path
    number = 1
    while True:
        yield f"{path}.{number}"
        number += 1
