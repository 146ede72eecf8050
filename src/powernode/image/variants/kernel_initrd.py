# SPDX-License-Identifier: MIT
"""kernel-initrd: a kernel and an initramfs for whoever starts both (QEMU, iPXE, a boot loader), and a disk.

vmlinuz  initramfs.cpio.zst  cmdline  [BOARD.dtb]  [persist.img, with modules]
"""

from __future__ import annotations

from pathlib import Path

from powernode.base.errors import OperatorError
from powernode.debian.lock import Lock, LockedPackage
from powernode.image.plan import Plan, Step
from powernode.image.request import Request
from powernode.image.runtime.interpreter import PACKAGES as PYTHON_PACKAGES
from powernode.image.steps.initramfs import AssembleInitramfs
from powernode.image.steps.kernel import TakeKernel
from powernode.image.steps.persist import WritePersist

__all__ = ["plan"]


def plan(request: Request, lock: Lock, host_lock: Lock, checkout: Path) -> Plan:
    arch = request.target.arch
    kernel = _kernel(lock, request.kernel_group)
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


def _kernel(lock: Lock, group: str) -> LockedPackage:
    packages = lock.group(group)
    if len(packages) != 1 or not packages[0].name.startswith("linux-image-"):
        raise OperatorError(
            "image.request.kernel",
            f"{group} is no group with a kernel",
            expected=", ".join(sorted(name for name in lock.groups if name.startswith("kernel-"))),
            found=f"{len(packages)} packages, {packages[0].name} first" if packages else "nothing in it",
        )
    return packages[0]
