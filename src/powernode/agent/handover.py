# SPDX-License-Identifier: MIT
"""The point of no return: the host's directories, persist and the kernel's filesystems go where the new root has them.

Invariants: before the first move nothing has happened that `Mounts.undo` does not undo; the boot report is written
before /run moves with it. A directory of the host's that is not there is a warning: it is no part of what was verified.

Out of scope: starting the new root's init, which is init's own last act (`switch_root`).

    hand_over(paths, kernel, mounts, has_persist=True, stay=False)
"""

from __future__ import annotations

import os

from powernode.agent.mounts import Mounts, make_folder, make_folder_in
from powernode.base.errors import PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.paths import Paths
    from powernode.agent.port import Kernel
    from powernode.agent.report import Report
    from powernode.base.canonical import Json
    from powernode.wire.nodeconfig import Bind

__all__ = ["FILESYSTEMS", "hand_over", "mount_binds"]

FILESYSTEMS = ("/run", "/dev", "/sys", "/proc")
"""In this order: entering the kernel needs /proc until the last one."""


def mount_binds(binds: tuple[Bind, ...], paths: Paths, mounts: Mounts, report: Report) -> list[Json]:
    """Below /run they move along with it, everything else is mounted in the new root. What was mounted."""
    mounted: list[Json] = []
    for bind in binds:
        root, inside = paths.sysroot, bind.target
        if bind.target.startswith("/run/"):
            root, inside = paths.at("/run"), bind.target.removeprefix("/run")
        try:
            target = make_folder_in(root, inside)
            mounts.host(bind.type, bind.tag, target, bind.options)
        except PowernodeError as error:
            report.warn("boot.bind", f"{bind.type} {bind.tag} is not at {bind.target}: {error}")
        else:
            mounted.append({"type": bind.type, "tag": bind.tag, "target": bind.target})
            report.stage("bind", f"{bind.type} {bind.tag} at {bind.target}")
    return mounted


def hand_over(paths: Paths, kernel: Kernel, mounts: Mounts, *, has_persist: bool, stay: bool) -> None:
    """With `stay` the kernel's filesystems stay: dracut's own change of the root moves them, and runs on them."""
    moves = [] if stay else [(paths.at(folder), paths.sysroot + folder) for folder in FILESYSTEMS]
    if has_persist:
        make_folder(paths.persist_later)
        inside = f"{paths.sysroot}/persist"
        if os.path.isdir(inside) and not os.path.islink(inside):
            mounts.bind(paths.persist, inside)
        moves.insert(0, (paths.persist, paths.persist_later))
    done: list[tuple[str, str]] = []
    try:
        for source, target in moves:
            kernel.move(source, target)
            done.append((source, target))
    except PowernodeError:
        while done:  # the next candidate needs everything where it was
            source, target = done.pop()
            kernel.move(target, source)
        raise
