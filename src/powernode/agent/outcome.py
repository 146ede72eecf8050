# SPDX-License-Identifier: MIT
"""What goes through the port to the kernel and comes back: values without behaviour."""

from __future__ import annotations

from powernode.base.values import Value

__all__ = ["ImageMount", "SealProblem"]


class ImageMount(Value):
    """A composefs image to mount. `subtree`: only this directory of it. `upper`: upper and work directory."""

    __slots__ = ("digest", "floor", "image", "is_root", "objects", "subtree", "target", "upper")

    def __init__(
        self,
        *,
        image: str,
        objects: str,
        target: str,
        digest: bytes,
        floor: str,
        is_root: bool = False,
        subtree: str = "",
        upper: tuple[str, str] | None = None,
    ) -> None:
        self.image = image
        self.objects = objects
        self.target = target
        self.digest = digest
        self.floor = floor
        """The weakest enforcement that is allowed: nobody needs to try harder where it is `none`."""
        self.is_root = is_root
        """Only there device nodes and set-user-ID programs mean something."""
        self.subtree = subtree
        self.upper = upper


class SealProblem(Value):
    """A file that is not what it should be; `cause` is missing, digest or unreadable."""

    __slots__ = ("cause", "found", "path")

    def __init__(self, *, path: str, cause: str, found: str) -> None:
        self.path = path
        self.cause = cause
        self.found = found
