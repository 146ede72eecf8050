# SPDX-License-Identifier: MIT
"""Open a file inside another root the way that root's own processes would.

Invariants: neither `..` nor a symbolic link, absolute or not, leads out of the root.

Out of scope: changing the root (`chroot`), creating files.

    root = os.open("/sysroot", os.O_PATH | os.O_DIRECTORY)
    fd = open_in_root(root, "/sbin/init", os.O_RDONLY)
"""

from __future__ import annotations

import os
import struct
from ctypes import c_char_p, c_int, c_size_t

from powernode.linux import _syscall

__all__ = ["open_in_root"]

_OPENAT2 = 437  # Linux 5.6
_IN_ROOT = 0x10
_NO_MAGIC_LINKS = 0x02


def open_in_root(root: int, path: str, flags: int) -> int:
    """A descriptor of `path` as seen with the directory behind the descriptor `root` as `/`; raises `OSError`."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _IN_ROOT | _NO_MAGIC_LINKS)
    return _syscall.call(_OPENAT2, c_int(root), c_char_p(os.fsencode(path)), c_char_p(how), c_size_t(len(how)))
