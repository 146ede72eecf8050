# SPDX-License-Identifier: MIT
"""Make a file or a folder of a cache once: under another name, alone, and named only when it is complete.

Invariants: the name never leads to something unfinished; of any number of processes that want the same thing one makes
it and the others get it; the lock is on the partial file or folder itself, so a process that dies leaves it free, and
nothing behind but the part, which the next one finds.

Out of scope: what is in a part that somebody left (its maker decides); removing what nobody needs any more.

    with claim(cache / "roots" / digest, FOLDER) as part:
        if part is not None:            # None: somebody else has just made it
            fill(part); part.rename(cache / "roots" / digest)
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    """Remove what a process that died has left in its part."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _still(fd: int, path: Path) -> bool:
    """Whether the name still leads to what was opened: who had the lock before may have renamed or removed it."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))
