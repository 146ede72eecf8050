# SPDX-License-Identifier: MIT
"""What the agent asks of the kernel: the one port between deciding and doing.

`kernel.LinuxKernel` does it on a real machine; tests hand in a kernel of their own. Every operation does one thing and
raises a `PowernodeError` where it cannot; nothing here decides what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from powernode.agent.outcome import ImageMount, SealProblem


class Kernel(Protocol):
    def mount_disk(self, device: str, target: str, *, filesystem: str = "ext4", read_only: bool = False) -> None: ...

    def mount_tmpfs(self, target: str, *, size: str, mode: str) -> None: ...

    def mount_host(self, kind: str, tag: str, target: str, options: str) -> None:
        """A directory of the host's: `kind` is 9p or virtiofs."""

    def mount_image(self, image: ImageMount) -> str:
        """A composefs image over its objects, refused unless its digest is the one given; returns the enforcement."""

    def make_read_only(self, target: str) -> None:
        """The mount at `target`, whose content is complete."""

    def bind(self, source: str, target: str) -> None: ...

    def move(self, source: str, target: str) -> None:
        """The mount at `source` with everything mounted in it."""

    def unmount(self, target: str) -> None: ...

    def seal(self, folder: str, files: Sequence[tuple[str, bytes]]) -> list[SealProblem]:
        """Seal files of `folder` that are not sealed yet and compare what the kernel measures with the digests.

        A filesystem or kernel without fs-verity is a MachineError linux.fsverity.no-feature or .no-kernel.
        """

    def compare(self, folder: str, files: Sequence[tuple[str, bytes]]) -> list[SealProblem]:
        """Read files and compare their digests in user space, where the kernel cannot."""

    def sync(self, folder: str) -> None:
        """Everything on the filesystem of `folder` is durable when this returns."""

    def grow(self, mount_point: str, blocks: int) -> None: ...

    def check_disk(self, tool: str, device: str) -> tuple[int, str]:
        """Run e2fsck in its careful mode; its exit status and the end of what it said."""

    def restart(self) -> None: ...
