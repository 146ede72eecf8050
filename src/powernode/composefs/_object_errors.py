# SPDX-License-Identifier: MIT
"""What an `OSError` met in the object store means for the operator.

with on_this_machine("write to the object store", path):
    os.rename(old, new)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from powernode.base.errors import MachineError

_CAUSES = {
    errno.ENOSPC: ("no-space", "free some space, or collect garbage in the store"),
    errno.EDQUOT: ("no-space", "raise the quota, or collect garbage in the store"),
    errno.EACCES: ("permission", "run as the owner of the store"),
    errno.EPERM: ("permission", "run as the owner of the store"),
    errno.EROFS: ("read-only", "remount the filesystem read-write"),
    errno.ENOENT: ("not-found", "create the store first"),
    errno.ENOTDIR: ("not-found", "a store is a directory"),
    errno.EISDIR: ("failed", "no batch makes a folder there: look what it is, and remove it"),
    errno.EIO: ("damaged", "the storage failed: look at the kernel log"),
    errno.EMFILE: ("limit", "raise RLIMIT_NOFILE"),
}


@contextmanager
def on_this_machine(action: str, path: str) -> Iterator[None]:
    """Turn every `OSError` inside into a `MachineError` that names the action and the file."""
    try:
        yield
    except OSError as error:
        cause, hint = cause_of(error.errno or 0)
        name = error.filename if error.filename is not None else path
        raise MachineError(
            f"composefs.store.{cause}",
            f"cannot {action}: {os.fsdecode(name)}",
            found=os.strerror(error.errno or 0),
            hint=hint,
        ) from error


def cause_of(number: int) -> tuple[str, str | None]:
    """The last part of the code for an errno, and the hint."""
    return _CAUSES.get(number, ("failed", None))
