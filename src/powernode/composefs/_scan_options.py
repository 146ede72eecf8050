# SPDX-License-Identifier: MIT
"""What a scan leaves out, and how it refuses its source; shared by its two implementations."""

from __future__ import annotations

import errno
import os

from powernode.base.errors import MachineError, OperatorError
from powernode.composefs._show import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int], None]
    """Called with the files and bytes done so far: some times a second, or for every file without the C library."""

_NO_XATTRS, _USER_XATTRS, _NO_DEVICES, _EPOCH, _HARDLINKS = 1, 2, 4, 8, 16


class ScanOptions:
    """What to leave out. `xattrs`: all, user (only user.*) or none; `epoch`: all times zero."""

    __slots__ = ("devices", "epoch", "hardlinks", "xattrs")

    def __init__(
        self, *, xattrs: str = "all", devices: bool = True, epoch: bool = False, hardlinks: bool = False
    ) -> None:
        if xattrs not in ("all", "user", "none"):
            raise OperatorError(
                "scan.xattrs", "unknown choice of xattrs", expected="all, user or none", found=repr(xattrs)
            )
        self.xattrs = xattrs
        self.devices = devices
        self.epoch = epoch
        self.hardlinks = hardlinks

    @property
    def flags(self) -> int:
        return (
            {"all": 0, "user": _USER_XATTRS, "none": _NO_XATTRS}[self.xattrs]
            | (0 if self.devices else _NO_DEVICES)
            | (_EPOCH if self.epoch else 0)
            | (_HARDLINKS if self.hardlinks else 0)
        )


def refuse_source(error: OSError, directory: str | bytes | os.PathLike[str]) -> OperatorError | MachineError:
    text = f"cannot read {shown(os.fsencode(directory))}: {error.strerror}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return OperatorError("composefs.source", text, expected="an existing directory")
    return MachineError("composefs.read", text)
