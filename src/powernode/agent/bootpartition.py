# SPDX-License-Identifier: MIT
"""Read a file of the FAT filesystem labelled BOOT, for the identity source of that name.

Invariants: the partition is mounted read-only for as long as one file is read; two partitions with the label are a
refusal, because the wrong one would name another platform. Nobody waits for it: persist's disk was waited for, and a
card has both.

    partition = BootPartition(paths, kernel)
    partition("identity.cfg", 65536, 5.0)
"""

from __future__ import annotations

from powernode.agent.identity.surroundings import read_bounded
from powernode.agent.mounts import make_folder
from powernode.base.errors import DataError, MachineError
from powernode.linux import blockdev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.paths import Paths
    from powernode.agent.port import Kernel

__all__ = ["BootPartition"]

LABEL = "BOOT"


class BootPartition:
    def __init__(self, paths: Paths, kernel: Kernel) -> None:
        self._paths = paths
        self._kernel = kernel

    def __call__(self, name: str, limit: int, timeout_s: float) -> bytes | None:
        found = [
            device.path
            for device, filesystem in blockdev.labelled(LABEL, sys=self._paths.sys, dev=self._paths.dev)
            if filesystem.kind == "vfat"
        ]
        if not found:
            raise MachineError("identity.no-partition", f"no FAT filesystem is labelled {LABEL}")
        if len(found) > 1:
            raise DataError("identity.partitions", f"several filesystems are labelled {LABEL}", found=", ".join(found))
        folder = f"{self._paths.run}/boot"
        make_folder(folder)
        self._kernel.mount_disk(found[0], folder, filesystem="vfat", read_only=True)
        try:
            return read_bounded(f"{folder}/{name}", limit)
        finally:
            self._kernel.unmount(folder)
