# SPDX-License-Identifier: MIT
"""Move file content and names, and make them durable, with as little work as the filesystem allows; read what others
put there.

Invariants: `copy` leaves the destination equal to the source from offset 0 and both offsets undefined; it tries a
reflink, then a copy inside the kernel, then reads and writes, and falls through only for reasons that mean "not here".
`read_regular` neither waits nor sets anything off, whatever was put in the place of the file.

Out of scope: temporary files, verity; the errors are plain `OSError`, the callers know what they attempted.

    copy(source_fd, destination_fd)
    syncfs(directory_fd)
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

__all__ = ["copy", "exchange", "read_regular", "syncfs", "try_lock"]

_FICLONE = 0x40049409
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CHUNK = 1 << 20
_MAX_RANGE = 1 << 30
# EINVAL: offsets or file types the method does not take; ETXTBSY: swap files; EPERM: sealed or immutable sources.
_NOT_HERE = frozenset(
    (errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ETXTBSY)
)


def read_regular(path: str, limit: int) -> bytes:
    """The first `limit` bytes of an ordinary file; a link, FIFO or device in its place is an `OSError`, at once."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not an ordinary file", path)
        data = b""
        while chunk := os.read(fd, limit - len(data)):
            data += chunk
        return data
    finally:
        os.close(fd)


def copy(source: int, destination: int) -> int:
    """Copy the whole of `source` over the empty file `destination`; returns the number of bytes."""
    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    else:
        return os.fstat(destination).st_size
    return _copy_in_kernel(source, destination)


def _copy_in_kernel(source: int, destination: int) -> int:
    done = 0
    try:
        while count := os.copy_file_range(source, destination, _MAX_RANGE, done, done):
            done += count
    except OSError as error:
        if error.errno not in _NOT_HERE or done:
            raise
    # Nothing copied may also mean a file that has its size only while it is read (procfs, some FUSE): ask by reading.
    return done if done else _copy_by_reading(source, destination)


def _copy_by_reading(source: int, destination: int) -> int:
    done = 0
    while chunk := os.pread(source, _CHUNK, done):
        write_all(destination, chunk, done)
        done += len(chunk)
    return done


def write_all(fd: int, data: bytes | memoryview, offset: int = 0) -> None:
    """`pwrite` until everything is written."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view = view[count:]
        offset += count


def syncfs(fd: int) -> None:
    """Make everything on the filesystem of `fd` durable; since Linux 5.8 a failed write-back is reported here."""
    from powernode.linux._syscall import check, libc

    check(libc.syncfs(fd))


def exchange(one: str, other: str) -> None:
    """Two names change places in one step; OSError with EINVAL where the filesystem has no such step."""
    from powernode.linux._syscall import check, libc

    check(libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE))


def try_lock(fd: int) -> bool:
    """Take the exclusive advisory lock of `fd` without waiting; the kernel drops it when the descriptor is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
