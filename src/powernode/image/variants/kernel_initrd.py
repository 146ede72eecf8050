# SPDX-License-Identifier: MIT
"""kernel-initrd: a kernel and an initramfs for whoever starts both (QEMU, iPXE, a boot loader), and a disk.

vmlinuz  initramfs.cpio.zst  cmdline  [BOARD.dtb]  [persist.img, with modules]
"""

from __future__ import annotations

from pathlib import Path

from powernode.image.lock import Lock
from powernode.image.plan import Plan, Step
from powernode.image.request import Request
from powernode.image.runtime.interpreter import PACKAGES as PYTHON_PACKAGES
from powernode.image.steps.initramfs import AssembleInitramfs
from powernode.image.steps.kernel import TakeKernel
from powernode.image.steps.persist import WritePersist

__all__ = ["plan"]


def plan(request: Request, lock: Lock, host_lock: Lock, checkout: Path) -> Plan:
    arch = request.target.arch
    (kernel,) = lock.group(request.kernel_group)
    steps: list[Step] = [
        TakeKernel(
            package=kernel.name,
            floor=request.floor,
            dtb=request.target.dtb,
            cmdline=" ".join((*request.target.kernel_arguments, "powernode.boot=1")),
        ),
        AssembleInitramfs.of(request, kernel.name, [item.name for item in lock.group("initramfs")], checkout),
    ]
    if request.root is not None:
        steps.append(WritePersist.of(request))
    packages = [kernel, *lock.group("initramfs")]
    if host_lock.arch != arch:
        packages += [host_lock.package(name) for name in PYTHON_PACKAGES]
    return Plan(
        variant="kernel-initrd",
        arch=arch,
        board=request.target.board,
        packages=tuple(f"{item.name} {item.version} {item.architecture} {item.sha256}" for item in packages),
        steps=tuple(steps),
    )
