# SPDX-License-Identifier: MIT
"""What was mounted for a candidate, so that all of it can go again.

Invariants: whatever went through here is taken off in reverse order by `undo`, also when some of it will not go; after
`undo` the next candidate finds the places as the first one found them.

    mounts = Mounts(kernel)
    mounts.image(ImageMount(…))
    for problem in mounts.undo(): report.warn(…)
"""

from __future__ import annotations

import os

from powernode.base.errors import DataError, MachineError, PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.outcome import ImageMount
    from powernode.agent.port import Kernel

__all__ = ["Mounts", "make_folder", "make_folder_in"]


class Mounts:
    """A stack of places where something is mounted."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._targets: list[str] = []

    def image(self, image: ImageMount) -> str:
        level = self._kernel.mount_image(image)
        self._targets.append(image.target)
        return level

    def tmpfs(self, target: str, *, size: str, mode: str = "0755") -> None:
        self._kernel.mount_tmpfs(target, size=size, mode=mode)
        self._targets.append(target)

    def host(self, kind: str, tag: str, target: str, options: str) -> None:
        self._kernel.mount_host(kind, tag, target, options)
        self._targets.append(target)

    def bind(self, source: str, target: str) -> None:
        self._kernel.bind(source, target)
        self._targets.append(target)

    def read_only(self, target: str) -> None:
        self._kernel.make_read_only(target)

    def undo(self) -> list[PowernodeError]:
        """Take everything off; what would not go is returned, and the rest has gone nevertheless."""
        problems: list[PowernodeError] = []
        while self._targets:
            try:
                self._kernel.unmount(self._targets.pop())
            except PowernodeError as error:
                problems.append(error)
        return problems


def make_folder_in(root: str, path: str) -> str:
    """The folder `path` below `root`, made if it is not there; a symbolic link on the way is a refusal.

    For folders on persist and in what has its upper layer there: whoever had the disk may have made them links, and a
    mount that follows one hides a part of the verified root, or of the initramfs.
    """
    place = root + path
    found = os.path.realpath(place)
    if found != os.path.realpath(root) + path:
        raise DataError(
            "boot.link", f"{path} leads somewhere else", expected="directories, no links", found=repr(found)
        )
    make_folder(place)
    return place


def make_folder(path: str) -> None:
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    except OSError as error:
        raise MachineError(
            "boot.no-directory", f"cannot make the directory {path}", found=os.strerror(error.errno or 0)
        ) from error
