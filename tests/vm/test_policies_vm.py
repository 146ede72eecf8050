# SPDX-License-Identifier: MIT
"""What becomes of changes to the root and to /var, under each policy, over two starts of one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from powernode.image.qemu import Disk, copy_disk
from powernode.image.request import Options
from vm._images import HOST_ARCH, boot, kernel_initrd, machine, tiny_module

_INIT = """#!/usr/bin/busybox sh
busybox() { /usr/bin/busybox "$@"; }
for place in /etc /var; do
    if [ -e $place/mark ]; then found=kept; else found=new; fi
    if busybox touch $place/mark 2>/dev/null; then write=written; else write=refused; fi
    echo; echo "@@ ${place#/} \\"$found $write\\""
done
echo "@@ report $(busybox cat /run/powernode/boot.json)"
busybox sync
busybox poweroff -f
"""


@pytest.mark.parametrize(
    ("policy", "etc", "var"),
    [
        ("ro", ("new refused", "new refused"), ("new written", "kept written")),
        ("ephemeral", ("new written", "new written"), ("new written", "kept written")),
        ("persistent", ("new written", "kept written"), ("new written", "kept written")),
    ],
)
def test_changes(tmp_path: Path, policy: str, etc: tuple[str, str], var: tuple[str, str]) -> None:
    marks = tiny_module(tmp_path, HOST_ARCH, name="marks", init=_INIT, files=1)
    folder = kernel_initrd(Options(arch=HOST_ARCH, modules=(marks.directory,), policy=policy, room_mib=16))
    disk = tmp_path / "disk.img"
    copy_disk(folder / "persist.img", disk)
    for start in range(2):
        booted = boot(machine(folder, HOST_ARCH, disks=[Disk(path=disk, throw_away=False)]))
        assert booted.report["root"]["policy"] == policy
        assert (booted.results["etc"], booted.results["var"]) == (etc[start], var[start]), f"start {start}"
