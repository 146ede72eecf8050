# SPDX-License-Identifier: MIT
"""System calls that libc 2.31 has no wrapper for, through `syscall(2)`.

Invariants: a failed call raises `OSError` with its errno; `EINTR` is retried. Everything since Linux 5.0 has the same
number on every architecture, so one table serves amd64 and arm64; nothing older may be added here.

Out of scope: what the numbers mean (`mount`).

    fd = call(FSOPEN, c_char_p(b"erofs"), c_uint(1))
"""

from __future__ import annotations

import ctypes
import errno
import os

OPEN_TREE = 428
MOVE_MOUNT = 429
FSOPEN = 430
FSCONFIG = 431
FSMOUNT = 432
MOUNT_SETATTR = 442

libc = ctypes.CDLL(None, use_errno=True)
_syscall = libc.syscall
_syscall.restype = ctypes.c_long


def call(number: int, *arguments: object) -> int:
    """The call's result. Arguments must be ctypes values: `syscall` is variadic and would truncate plain integers."""
    while True:
        result = int(_syscall(ctypes.c_long(number), *arguments))
        if result != -1:
            return result
        error = ctypes.get_errno()
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))


def check(result: int) -> None:
    """Raise for a libc function that returned -1."""
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
