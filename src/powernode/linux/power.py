# SPDX-License-Identifier: MIT
"""Restart the machine now.

Invariants: what was written before is on the disk before the machine goes; the call returns only as a refusal.

Out of scope: asking an init system to shut services down: this is for an initramfs, where there is none.

    restart()
"""

from __future__ import annotations

import os

from powernode.base.errors import InternalError, MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["restart"]

_RESTART = 0x01234567  # LINUX_REBOOT_CMD_RESTART; libc's reboot() supplies the magic numbers


def restart() -> NoReturn:
    from ctypes import c_int

    from powernode.linux._syscall import check, libc

    os.sync()
    try:
        check(libc.reboot(c_int(_RESTART)))
    except OSError as error:
        raise MachineError(
            "linux.power.restart",
            "cannot restart the machine",
            found=os.strerror(error.errno or 0),
            hint="restarting needs CAP_SYS_BOOT: run as root, outside a container",
        ) from error
    raise InternalError("linux.power.restart", "the kernel was asked to restart the machine and came back")
