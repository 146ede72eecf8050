# SPDX-License-Identifier: MIT
"""Let a mounted ext4 take the rest of its device. It can only become larger.

Invariants: `blocks_to_grow_to` never names fewer blocks than there are; the kernel does the work while the filesystem
is in use, and a power cut in the middle leaves a filesystem of some size in between that the next call grows again.

Out of scope: partitions; filesystems that are not mounted.

    blocks = blocks_to_grow_to(superblock.size_bytes, superblock.block_size, device.size_bytes)
    if blocks is not None:
        grow("/persist", blocks)
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from powernode.base.errors import MachineError

__all__ = ["blocks_to_grow_to", "grow"]

_EXT4_IOC_RESIZE_FS = 0x40086610  # _IOW('f', 16, __u64)
_WORTH_BYTES = 1 << 20
"""A block group too small to hold its own tables cannot be added; less than this is not worth a try at every boot."""

_CAUSES: dict[int, tuple[str, str]] = {
    errno.EPERM: ("permission", "growing needs CAP_SYS_RESOURCE and a filesystem without recorded errors: run e2fsck"),
    errno.EOPNOTSUPP: ("unsupported", "make the filesystem with the features resize_inode or meta_bg"),
    errno.ENOTTY: ("unsupported", "only ext4 grows while it is mounted"),
    errno.EROFS: ("read-only", "mount the filesystem read-write"),
    errno.ENOSPC: ("no-space", "free some blocks for the new tables"),
    errno.EINVAL: ("size", "the device is smaller than the size asked for"),
}


def blocks_to_grow_to(filesystem_bytes: int, block_size: int, device_bytes: int) -> int | None:
    """The number of blocks that fills the device; None where there is nothing (worth a try) to gain."""
    if device_bytes - filesystem_bytes < _WORTH_BYTES:
        return None
    return device_bytes // block_size


def grow(mount_point: str, blocks: int) -> None:
    """Grow the filesystem mounted at `mount_point` to `blocks` blocks, or to a little less if the last group is odd."""
    try:
        fd = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_RESIZE_FS, struct.pack("=Q", blocks))
        finally:
            os.close(fd)
    except OSError as error:
        cause, hint = _CAUSES.get(error.errno or 0, ("failed", None))
        raise MachineError(
            f"linux.ext4.{cause}",
            f"cannot grow the filesystem at {mount_point} to {blocks} blocks",
            found=os.strerror(error.errno or 0),
            hint=hint,
        ) from error
