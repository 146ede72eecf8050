# SPDX-License-Identifier: MIT
"""The whole way on both architectures: a base from the lock, a built image, a boot to systemd's multi-user.target.

The root's digest is the builder's, printed by the agent after the kernel measured it.
"""

from __future__ import annotations

import shutil

import pytest

from powernode.image.qemu import Disk
from powernode.image.request import Options
from powernode.module.directory import merge_root
from vm._images import boot, kernel_initrd, machine, system_base

INSTANCE = "6f1c2b1e-97d5-4b1b-9d0a-3b7e9d0c8a11"


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_first_boot_of_the_base(arch: str) -> None:
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not here to build the base with (Debian: mmdebstrap)")
    base = system_base(arch)
    folder = kernel_initrd(Options(arch=arch, modules=(base.directory,)))
    started = machine(
        folder,
        arch,
        disks=[Disk(path=folder / "persist.img", throw_away=True)],
        identity={"instance_uuid": INSTANCE},
        append="systemd.show_status=1",
    )
    booted = boot(started, timeout_s=300, until="multi-user.target")
    console = "\n".join(booted.lines)
    assert "Reached target" in booted.lines[-1], console[-3000:]
    assert f"powernode: root {merge_root([base]).digest} kernel-verity policy=ephemeral" in console
    assert f"powernode: identity: {INSTANCE} from fw_cfg" in console
    assert "FAILED" not in console
    assert not booted.refused
