# SPDX-License-Identifier: MIT
"""What is done with single files and directories of an object store: sealing, locking, cleaning, syncing.

Invariants: errors are plain `OSError` or the kernel's refusals; the callers know what they attempted.

    folder, lock = make_locked_folder("/persist/objects")
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from powernode.base.errors import DataError, MachineError
from powernode.linux import files, fsverity

TEMPORARY_PREFIX = ".tmp-"
QUARANTINE = ".quarantine"


def seal_object(path: str, digest: bytes) -> bool:
    """Seal a file and let the kernel confirm its digest; False if it was sealed before."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        new = True
        try:
            fsverity.enable(fd)
        except MachineError as error:
            if error.code != "linux.fsverity.already-enabled":
                raise
            new = False
        algorithm, measured = fsverity.measure(fd)
    finally:
        os.close(fd)
    if algorithm != "sha256" or measured != digest:
        raise wrong_digest(digest, measured)
    return new


def can_seal(folder: str) -> bool:
    """Whether files in `folder` can be sealed; asks the kernel about an unnamed file made there."""
    try:
        fd = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR):  # no filesystem with fs-verity lacks O_TMPFILE
            return False
        raise
    try:
        return fsverity.is_supported(fd)
    finally:
        os.close(fd)


def batch_files(folder: str) -> list[str]:
    """What is in a batch's directory; a scan stages objects in folders there, and nobody makes any below those."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.extend(f"{entry.path}/{name}" for name in os.listdir(entry.path))
            else:
                found.append(entry.path)
    return found


def remove_folder(folder: str) -> int:
    """Remove a batch's directory; returns how many files were still in it."""
    left = batch_files(folder)
    for path in left:
        os.unlink(path)
    for name in os.listdir(folder):
        os.rmdir(f"{folder}/{name}")
    os.rmdir(folder)
    return len(left)


def make_folder(path: str) -> None:
    """A folder of the fan-out, which another thread or process may be making as well."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)


def take_folder(folder: str, place: str) -> bool:
    """Give a whole directory its place if nothing is there; False if something is."""
    try:
        os.rename(folder, place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def make_locked_folder(root: str) -> tuple[str, int]:
    number = 0
    while True:
        folder = f"{root}/{TEMPORARY_PREFIX}{os.getpid()}-{number}"
        number += 1
        try:
            os.mkdir(folder, 0o700)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileExistsError, FileNotFoundError):
            continue
        # A cleaner may have seen the directory before it was locked: it counts only if it is still there with its lock.
        if files.try_lock(fd) and os.fstat(fd).st_nlink:
            return folder, fd
        os.close(fd)


def abandoned_folders(root: str) -> Iterator[tuple[str, int]]:
    """The temporary directories whose batch is gone, each locked by the descriptor that the caller must close."""
    for name in sorted(os.listdir(root)):
        if not name.startswith(TEMPORARY_PREFIX):
            continue
        folder = f"{root}/{name}"
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue  # its batch has just ended; or it is no batch's, and fsck says so
        if files.try_lock(fd):
            yield folder, fd
        else:
            os.close(fd)


def wrong_digest(expected: bytes, found: bytes) -> DataError:
    return DataError(
        "composefs.store.wrong-digest",
        "the content is not the object it should be",
        expected=expected.hex(),
        found=found.hex(),
        hint="fetch it again; nothing was stored under this name",
    )
