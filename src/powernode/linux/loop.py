# SPDX-License-Identifier: MIT
"""A file as a read-only block device, for kernels that cannot mount an image file itself.

Invariants: the device is read-only and goes away by itself once the last user (a mount, or the descriptor returned
here) is gone, so nothing is leaked even by a crash.

Out of scope: writable devices, partitions.

    device = attach(image_fd)
    try:
        mount(device.path)      # the mount keeps the device from now on
    finally:
        os.close(device.fd)
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass

from powernode.base.errors import MachineError

__all__ = ["LoopDevice", "attach"]

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A  # Linux 5.8
_READ_ONLY = 1
_AUTOCLEAR = 4
_ATTEMPTS = 64

# struct loop_config: fd, block_size, then struct loop_info64 (device, inode, rdevice, offset, size limit, number,
# encryption type and key size, flags, two names, key, two words), then 8 reserved words.
_CONFIG = struct.Struct("=II QQQQQ IIII 64s64s32s QQ 64x")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopDevice:
    """An open loop device; close `fd` when something else holds it, or to be rid of it."""

    fd: int
    path: str


def attach(image: int, *, name: str = "") -> LoopDevice:
    """Put the file behind descriptor `image` on a free loop device; `name` is what losetup shows."""
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(error, "open /dev/loop-control") from error
    try:
        for _ in range(_ATTEMPTS):
            try:
                number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            except OSError as error:
                raise _refusal(error, "find a free loop device") from error
            device = _configure(f"/dev/loop{number}", image, name)
            if device is not None:
                return device
    finally:
        os.close(control)
    raise MachineError(
        "linux.loop.busy", "others took every loop device we were offered", found=f"{_ATTEMPTS} attempts"
    )


def _configure(path: str, image: int, name: str) -> LoopDevice | None:
    """The configured device, or None if somebody else was quicker."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(error, f"open {path}") from error
    label = os.fsencode(name)[:63]
    flags = _READ_ONLY | _AUTOCLEAR
    config = _CONFIG.pack(image, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags, label, b"", b"", 0, 0)
    try:
        fcntl.ioctl(fd, _LOOP_CONFIGURE, config)
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EBUSY:
            return None
        raise _refusal(error, f"attach the image to {path}") from error
    return LoopDevice(fd=fd, path=path)


def _refusal(error: OSError, action: str) -> MachineError:
    if error.errno in (errno.EPERM, errno.EACCES):
        code, hint = "linux.loop.permission", "run as root"
    elif error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        code, hint = "linux.loop.none", "modprobe loop; in a container, pass /dev/loop-control and the devices in"
    elif error.errno in (errno.ENOTTY, errno.EINVAL):
        code, hint = "linux.loop.too-old", "attaching in one step needs Linux 5.8 or later"
    else:
        code, hint = "linux.loop.failed", None
    return MachineError(code, f"cannot {action}", found=os.strerror(error.errno or 0), hint=hint)
