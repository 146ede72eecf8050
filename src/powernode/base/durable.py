# SPDX-License-Identifier: MIT
"""Change one name in a folder so that a power cut leaves the old thing or the new one, whole, and never neither.

Invariants: when a function returns, its change survives a power cut; when it raises or the power fails, the name
stands for what it stood for before. At most one temporary file (`.NAME.tmp`) is ever left behind, and the next write to
the same name takes it over. Two writers of one name wait for each other.

Out of scope: changes of several names at once (order your writes: what is pointed to first, the pointer last, and
`sync_folder` for what else was named); the folder's own existence.

    write_durably("sets/pending.attempts", b"… 1\n", mode=0o644)
    replace_symlink("sets/good", "…json")
    remove_durably("sets/pending")
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress

from powernode.base.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["remove_durably", "replace_symlink", "sync_folder", "write_durably"]

_CAUSES = {
    errno.ENOSPC: ("no-space", "free some space on the filesystem"),
    errno.EDQUOT: ("no-space", "raise the quota"),
    errno.EACCES: ("permission", "run as the owner of the folder"),
    errno.EPERM: ("permission", "run as the owner of the folder"),
    errno.EROFS: ("read-only", "remount the filesystem read-write"),
    errno.ENOENT: ("no-folder", "make the folder first"),
    errno.ENOTDIR: ("no-folder", "make the folder first"),
    errno.EIO: ("damaged", "the storage failed: look at the kernel log"),
}


def write_durably(path: str, data: bytes, *, mode: int) -> None:
    """Make `path` a file of `mode` with exactly `data`, whatever the umask."""
    with _on_this_machine("write", path), _folder_of(path) as (folder, name):
        temporary = f".{name}.tmp"
        fd = _locked_temporary(temporary, folder)
        try:
            os.ftruncate(fd, 0)  # somebody's power may have failed while writing it
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fchmod(fd, mode)
            os.fsync(fd)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(fd)
        os.fsync(folder)


def replace_symlink(path: str, target: str) -> None:
    """Make `path` a symbolic link to `target`, whatever file or link it was."""
    with _on_this_machine("link", path), _folder_of(path) as (folder, name):
        temporary = f".{name}.tmp"
        while True:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            try:
                os.symlink(target, temporary, dir_fd=folder)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                break
            except FileExistsError:
                continue  # another writer's link is in the way
            except FileNotFoundError:
                if not os.fstat(folder).st_nlink:
                    raise  # the folder itself is gone
        os.fsync(folder)


def remove_durably(path: str) -> None:
    """Make sure that `path` is no name of a file or link; one that is not there stays so."""
    with _on_this_machine("remove", path), _folder_of(path) as (folder, name):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        os.fsync(folder)


def sync_folder(path: str) -> None:
    """Make the names in a folder durable; a failure is a plain OSError, for callers know what they attempted."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _folder_of(path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the folder and the name in it: all steps are in one folder, even if it is moved meanwhile."""
    folder, name = os.path.split(path)
    fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd, name
    finally:
        os.close(fd)


def _locked_temporary(name: str, folder: int) -> int:
    """The temporary file, locked: the name still stands for what is locked, so no other writer has it open to write."""
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=folder, follow_symlinks=False)):
                return fd
        except FileNotFoundError:
            pass  # the writer before us has just renamed it
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


@contextmanager
def _on_this_machine(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause, hint = _CAUSES.get(error.errno or 0, ("failed", None))
        raise MachineError(
            f"durable.{cause}", f"cannot {action} {path}", found=os.strerror(error.errno or 0), hint=hint
        ) from error
