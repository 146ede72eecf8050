# SPDX-License-Identifier: MIT
"""Make a file or a folder of a cache once: under another name, alone, and named only when it is complete.

Invariants: the name never leads to something unfinished; of any number of processes that want the same thing one makes
it and the others get it; the lock is on the partial file or folder itself, so a process that dies leaves it free, and
nothing behind but the part, which the next one finds. What is emptied is never removed through a mount.

Out of scope: what is in a part that somebody left (its maker decides); removing what nobody needs any more.

    with claim(cache / "roots" / digest, FOLDER) as part:
        if part is not None:            # None: somebody else has just made it
            fill(part); part.rename(cache / "roots" / digest)
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from powernode.base.errors import MachineError

__all__ = ["FILE", "FOLDER", "claim", "empty"]

FILE = os.O_RDWR | os.O_CREAT
FOLDER = os.O_RDONLY | os.O_DIRECTORY


@contextmanager
def claim(place: Path, kind: int) -> Iterator[Path | None]:
    """The name to build `place` under, for us alone until we rename it; None when somebody else has just done it."""
    part = place.with_name(f"{place.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    while True:
        if kind & os.O_DIRECTORY:
            # Path.mkdir(exist_ok=True) would look again, and the other's may have been renamed.
            with suppress(FileExistsError):
                part.mkdir()
        try:
            fd = os.open(part, kind | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue  # renamed between the two calls
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not _still(fd, part):
                continue
            if place.exists():
                (part.rmdir if kind & os.O_DIRECTORY else part.unlink)()
                yield None
            else:
                yield part
            return
        finally:
            os.close(fd)


def empty(folder: Path) -> None:
    """Remove what a process that died has left in its part; nothing of it where something is still mounted below."""
    if mounted := list(_mounts(folder)):
        raise MachineError(
            "debian.claim.mounted",
            f"what an earlier run left in {folder} cannot be removed: something is mounted there",
            expected="no other file system below it",
            found=", ".join(mounted),
            hint=f"when nothing works there any more, as root: umount --recursive {shlex.join(mounted)}",
        )
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _mounts(folder: Path) -> Iterator[str]:
    """Where other file systems begin below it."""
    device = folder.stat().st_dev
    for path, directories, _ in os.walk(folder):
        for name in directories.copy():
            inner = os.path.join(path, name)
            found = os.lstat(inner)
            # Of a file it says nothing: overlayfs gives those the number of what is below.
            if stat.S_ISDIR(found.st_mode) and found.st_dev != device:
                directories.remove(name)
                yield inner


def _still(fd: int, path: Path) -> bool:
    """Whether the name still leads to what was opened: who had the lock before may have renamed or removed it."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))
