# SPDX-License-Identifier: MIT
"""The persistent filesystem: found by its label, checked when its superblock asks for it, mounted, grown, never shrunk.

Invariants: two filesystems with the label are a refusal, for a stick somebody plugged in must not take the place of the
disk; one that is there and cannot be used is a refusal and never replaced by memory; memory is used only where the
configuration allows it, nothing was found, and says so.

Out of scope: making filesystems, partitions, what is on it (`sets`, `seal`).

    persist = open_persist(config.persist, paths, kernel, report, clock=time.monotonic, sleep=time.sleep)
    persist.kind        # "ext4", "tmpfs", or "none" with the reason in persist.refusal
"""

from __future__ import annotations

import os

from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.base.values import Value
from powernode.linux import blockdev
from powernode.linux.ext4grow import blocks_to_grow_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from powernode.agent.paths import Paths
    from powernode.agent.port import Kernel
    from powernode.agent.report import Report
    from powernode.base.canonical import Json
    from powernode.linux.blockdev import BlockDevice, Filesystem
    from powernode.wire.nodeconfig import PersistConfig

__all__ = ["Persist", "find", "open_persist"]

_POLL_S = 0.02
_POLL_MAX_S = 0.2
_TMPFS_SIZE = "50%"
_FSCK_FINE = (0, 1)


class Persist(Value):
    """`written_s` is when the filesystem was last written to: no clock may be behind it."""

    __slots__ = ("device", "kind", "refusal", "written_s")

    def __init__(
        self, *, kind: str, device: str | None = None, written_s: int = 0, refusal: PowernodeError | None = None
    ) -> None:
        self.kind = kind
        self.device = device
        self.written_s = written_s
        self.refusal = refusal


def open_persist(
    config: PersistConfig,
    paths: Paths,
    kernel: Kernel,
    report: Report,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Persist:
    """Mount persist at `paths.persist`; a refusal is in the report and in the result, for the base may do without."""
    facts: dict[str, Json] = {"label": config.label}
    report.facts["persist"] = facts
    try:
        found = _wait(config, paths, clock, sleep)
        if found is None:
            return _without_disk(config, paths, kernel, report, facts)
        device, filesystem = found
        facts.update(describe(device, filesystem))
        if filesystem.kind != "ext4":
            raise DataError(
                "persist.filesystem", f"{device.path} is no ext4", expected="ext4", found=filesystem.kind, hint=_MAKE
            )
        if "verity" not in filesystem.features:
            report.warn(
                "persist.no-verity",
                f"the filesystem on {device.path} was made without the verity feature: the kernel cannot enforce "
                "anything on it, and a set is refused unless the floor allows less; tune2fs -O verity changes that",
            )
        _check(config, paths, kernel, report, device, filesystem, facts)
        _mount(paths, kernel, device)
    except PowernodeError as error:
        report.refuse("persist", error)
        facts["kind"] = "none"
        return Persist(kind="none", refusal=error)
    facts["kind"] = "ext4"
    _grow(config, paths, kernel, report, device, filesystem, facts)
    report.stage("persist", f"ext4 {filesystem.uuid} on {device.path}, {device.size_bytes >> 20} MiB")
    return Persist(kind="ext4", device=device.path, written_s=filesystem.written_s)


_MAKE = "make it with mke2fs -t ext4 -O verity -b 4096 -L persist"


def describe(device: BlockDevice, filesystem: Filesystem) -> dict[str, Json]:
    return {
        "device": device.path,
        "device_bytes": device.size_bytes,
        "uuid": filesystem.uuid,
        "filesystem": filesystem.kind,
        "filesystem_bytes": filesystem.size_bytes,
        "features": [*sorted(filesystem.features)],
        "clean": filesystem.is_clean and not filesystem.has_errors,
    }


def find(label: str, paths: Paths) -> tuple[BlockDevice, Filesystem] | None:
    """The one device with the label; None if there is none now."""
    found = list(blockdev.labelled(label, sys=paths.sys, dev=paths.dev))
    if len(found) > 1:
        raise DataError(
            "persist.ambiguous",
            f"several filesystems are labelled {label}",
            expected="one",
            found=", ".join(device.path for device, _ in found),
            hint="take the other one out, or give it another label",
        )
    return found[0] if found else None


def _wait(
    config: PersistConfig, paths: Paths, clock: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[BlockDevice, Filesystem] | None:
    end = clock() + config.wait_s
    pause = _POLL_S
    while True:
        found = find(config.label, paths)
        left = end - clock()
        if found is not None or left <= 0:
            return found
        sleep(min(pause, left))
        pause = min(2 * pause, _POLL_MAX_S)


def _without_disk(
    config: PersistConfig, paths: Paths, kernel: Kernel, report: Report, facts: dict[str, Json]
) -> Persist:
    missing = MachineError(
        "persist.missing",
        f"no filesystem labelled {config.label} appeared",
        expected=f"one within {config.wait_s} s",
        found=", ".join(device.name for device in blockdev.devices(sys=paths.sys, dev=paths.dev)) or "no block device",
        hint="is the disk there, and its driver in the initramfs?",
    )
    if not config.tmpfs_fallback:
        raise missing
    os.makedirs(paths.persist, exist_ok=True)
    kernel.mount_tmpfs(paths.persist, size=_TMPFS_SIZE, mode="0755")
    facts["kind"] = "tmpfs"
    report.warn("persist.tmpfs", f"{missing.message}: using memory; EVERYTHING KEPT THERE IS LOST AT THE NEXT RESTART")
    report.stage("persist", "tmpfs, as the configuration allows")
    return Persist(kind="tmpfs")


def _check(
    config: PersistConfig,
    paths: Paths,
    kernel: Kernel,
    report: Report,
    device: BlockDevice,
    filesystem: Filesystem,
    facts: dict[str, Json],
) -> None:
    """Where the superblock asks for it. After a power cut it does not: replaying the journal is the mount's part."""
    due = 0 <= filesystem.mounts_max <= filesystem.mounts
    if not config.check or not (due or filesystem.has_errors or not filesystem.is_clean):
        return
    tool = next((path for path in paths.e2fsck if os.access(path, os.X_OK)), None)
    if tool is None:
        report.warn("persist.unchecked", f"{device.path} wants to be checked and there is no e2fsck in this image")
        return
    status, said = kernel.check_disk(tool, device.path)
    facts["e2fsck"] = status
    if status not in _FSCK_FINE:
        raise MachineError(
            "persist.damaged",
            f"e2fsck cannot repair {device.path} by itself",
            expected="exit status 0 or 1",
            found=f"{status}: {said}",
            hint=f"run e2fsck -f {device.path} by hand, or write the image again",
        )
    report.stage("check", f"{device.path}: e2fsck {'repaired something' if status else 'found nothing'}")


def _mount(paths: Paths, kernel: Kernel, device: BlockDevice) -> None:
    try:
        os.makedirs(paths.persist, exist_ok=True)
        kernel.mount_disk(device.path, paths.persist)
    except PowernodeError as error:
        raise MachineError(
            "persist.unmountable",
            f"the filesystem on {device.path} is there and cannot be mounted",
            found=error.found or error.message,
            hint=error.hint or "its superblock may be damaged: e2fsck -f by hand, or write the image again",
        ) from error


def _grow(
    config: PersistConfig,
    paths: Paths,
    kernel: Kernel,
    report: Report,
    device: BlockDevice,
    filesystem: Filesystem,
    facts: dict[str, Json],
) -> None:
    blocks = blocks_to_grow_to(filesystem.size_bytes, filesystem.block_size, device.size_bytes)
    if blocks is None or not config.grow:
        return
    try:
        kernel.grow(paths.persist, blocks)
    except PowernodeError as error:  # too small is no reason not to boot
        report.warn(error.code, f"{error.message}: {error.found}")
        return
    facts["grown_to_bytes"] = blocks * filesystem.block_size
    report.stage("grow", f"{filesystem.size_bytes >> 20} MiB to {blocks * filesystem.block_size >> 20} MiB")
