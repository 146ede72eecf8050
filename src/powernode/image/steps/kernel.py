# SPDX-License-Identifier: MIT
"""Take the kernel, its device tree and its command line; refuse one that could not enforce what it should."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.composefs.mount import Enforcement
from powernode.image import kconfig
from powernode.image.kernel import open_kernel
from powernode.image.plan import Workspace

__all__ = ["CMDLINE", "KERNEL", "TakeKernel"]

KERNEL, CMDLINE = "vmlinuz", "cmdline"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeKernel:
    package: str
    floor: str
    dtb: str | None
    cmdline: str

    def describe(self) -> str:
        return f"take the kernel of {self.package}, which must reach {self.floor}"

    def run(self, workspace: Workspace) -> None:
        tree = workspace.inputs.tree(self.package)
        kernel = open_kernel(tree)
        reach = kconfig.reachable(kernel.config.read_text(), kernel.release)
        kconfig.require(reach, Enforcement(self.floor))
        workspace.facts["kernel"] = {
            "release": reach.release,
            "enforcement": reach.enforcement.value,
            "missing": list(reach.missing),
        }
        shutil.copyfile(kernel.image, workspace.out / KERNEL)
        (workspace.out / CMDLINE).write_text(self.cmdline + "\n")
        if self.dtb is not None:
            found = sorted(tree.glob(f"usr/lib/linux-image-*/{self.dtb}"))
            if len(found) != 1:
                raise DataError(
                    "image.kernel.dtb",
                    f"{self.package} has no device tree for this board",
                    expected=self.dtb,
                    found=f"{len(found)} of that name",
                )
            shutil.copyfile(found[0], workspace.out / found[0].name)
