# SPDX-License-Identifier: MIT
"""Power cuts at random instants of a first boot, most of them while it seals: what boots next is verified and whole.

What the guest has sent to its disk stays, what it had in memory is lost; the order of writes is not changed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

from powernode.image.guest import start
from powernode.image.qemu import Disk, copy_disk
from powernode.image.request import Options
from vm._images import HOST_ARCH, boot, kernel_initrd, machine, tiny_module

CUTS = int(os.environ.get("POWERNODE_POWER_CUTS", "3"))
FILES = 600
CUT_WITHIN_S = 3.0
"""From when the disk was found; sealing takes most of it under emulation."""


def test_power_cuts_in_a_first_boot(tmp_path: Path) -> None:
    tiny = tiny_module(tmp_path, HOST_ARCH, files=FILES)
    folder = kernel_initrd(Options(arch=HOST_ARCH, modules=(tiny.directory,), room_mib=32))
    chance = random.Random(int(os.environ.get("POWERNODE_SEED", "3")))
    disk = tmp_path / "disk.img"
    interrupted = 0
    for cut in range(CUTS):
        if cut % 4 == 0:  # else go on with what the last cuts left
            disk.unlink(missing_ok=True)
            copy_disk(folder / "persist.img", disk)
        delay_s = chance.uniform(0, CUT_WITHIN_S)
        lines = _boot_and_cut(folder, disk, delay_s)
        interrupted += not any("powernode: seal:" in line for line in lines)
        _assert_boots_whole(folder, disk, f"cut {cut} after {delay_s:.2f} s")
    assert interrupted, "every cut came after sealing: CUT_WITHIN_S is too long for this machine"
    shutil.rmtree(tmp_path)


def _boot_and_cut(folder: Path, disk: Path, delay_s: float) -> list[str]:
    lines = []
    with start(machine(folder, HOST_ARCH, disks=[Disk(path=disk, throw_away=False)]), timeout_s=180) as guest:
        for line in guest.lines():
            lines.append(line)
            if line.startswith("powernode: persist:"):
                guest.cut_power(after_s=delay_s)
    return lines


def _assert_boots_whole(folder: Path, disk: Path, when: str) -> None:
    """On a throw-away layer, so that the next cut meets what this one left."""
    booted = boot(machine(folder, HOST_ARCH, disks=[Disk(path=disk, throw_away=True)]))
    assert booted.report["root"]["enforcement"] == "kernel-verity", when
    assert not booted.refused, when
    assert not [name for name in booted.results if name.startswith("refused:")], when
    copy = disk.with_suffix(".fsck")
    copy_disk(disk, copy)
    # Status 1: the journal was replayed and nothing else had to be done.
    checked = subprocess.run(["e2fsck", "-fp", str(copy)], capture_output=True, text=True, check=False)
    copy.unlink()
    assert checked.returncode in (0, 1), f"{when}: {checked.stdout}"
