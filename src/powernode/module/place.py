# SPDX-License-Identifier: MIT
"""A folder to make something in, beside the place where it will be, and the one step that puts it there.

Invariants: a place holds what was there before or what was made, whole, also after a power cut; of two that put
something in one place at once, each takes out whole what the other had put in. What a process left that was killed is
removed by the next one that works beside the same place, and nothing that is somebody else's.

Only a folder takes another's place: a file or a link there is a refusal, and callers resolve links before.

Out of scope: whether the folder in the place may be replaced (the caller looks before).

    with beside(out) as work:
        fill(work / "new")
        put(work / "new", out)      # what was there is at work / "new" now, and goes with it
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from powernode.base.durable import sync_folder
from powernode.base.errors import MachineError, OperatorError
from powernode.linux import files

__all__ = ["beside", "put"]

_NO_SUCH_STEP = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_IN_THE_WAY = (errno.ENOTEMPTY, errno.EEXIST)


@contextmanager
def beside(place: Path) -> Iterator[Path]:
    """A new folder on the filesystem of `place`; the folder above is made if need be."""
    place.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{place.name}.powernode-"
    _remove_abandoned(place.parent, prefix)
    path, lock = _locked_folder(place.parent, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def put(new: Path, place: Path) -> None:
    """`new` in the place of `place`, in one step; what was there is then where `new` was."""
    _refuse_other_than_folders(place)
    with _opened(new) as fd:
        files.syncfs(fd)
    while not (_exchanged(new, place) or _moved(new, place)):
        pass  # somebody has put something there, or taken it away, between the two
    sync_folder(str(place.parent))


def _refuse_other_than_folders(place: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(place.lstat().st_mode):
            raise OperatorError(
                "module.place.no-folder", f"{place} is there, and is no folder", hint="move it away, or name another"
            )


def _exchanged(new: Path, place: Path) -> bool:
    try:
        files.exchange(str(new), str(place))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_SUCH_STEP:
            raise
        raise MachineError(
            "module.place.exchange",
            f"cannot replace {place} in one step",
            expected="a filesystem that lets two names change places",
            found=os.strerror(error.errno),
            hint="move it away, and try again",
        ) from error
    return True


def _moved(new: Path, place: Path) -> bool:
    try:
        new.rename(place)
    except OSError as error:
        if error.errno not in _IN_THE_WAY:
            raise
        return False
    return True


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """The lock says that its process lives."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):  # somebody took it for abandoned before it was locked
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if files.try_lock(lock) and os.fstat(lock).st_nlink:
                return path, lock
            os.close(lock)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    with os.scandir(parent) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(prefix)]
    for path in left:
        with suppress(FileNotFoundError, NotADirectoryError), _opened(path) as lock:
            if files.try_lock(lock):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _opened(path: str | Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
