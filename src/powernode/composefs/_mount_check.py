# SPDX-License-Identifier: MIT
"""Is a file the image that was asked for, and who vouches for it from now on?

Invariants: everything is asked of the descriptor that will be mounted, never of a path; a digest that was given is
compared, or it is a refusal.
Out of scope: whether the content is a file system (the kernel says so when it mounts it).

    check_magic(fd, "base.img")
    measured, enforcement = check_digest(fd, "base.img", expected, "require", None)
"""

from __future__ import annotations

import os
from enum import Enum

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.linux import fsverity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    Verity = Literal["require", "try", "off"]

_MAGIC = 0xD078629A.to_bytes(4, "little")
_CANNOT_SEAL = ("linux.fsverity.no-kernel", "linux.fsverity.no-feature", "linux.fsverity.not-enabled")


class Enforcement(Enum):
    """Who notices a changed byte, from strongest to none."""

    KERNEL_VERITY = "kernel-verity"
    USERSPACE = "userspace"
    NONE = "none"


def check_magic(image: int, name: str) -> None:
    """Tell a file that is something else from one that is damaged, which the kernel would not."""
    try:
        head = os.pread(image, len(_MAGIC), 0)
    except OSError as error:  # EIO: a sealed image whose first block was changed
        raise DataError(
            "composefs.mount.image-unreadable",
            f"{name} cannot be read",
            found=os.strerror(error.errno or 0),
            hint="it was changed on the disk or the disk is damaged; fetch the image again",
        ) from error
    if head != _MAGIC:
        raise DataError(
            "composefs.mount.not-an-image",
            f"{name} is not a composefs image",
            expected=f"the bytes {_MAGIC.hex()} at its start",
            found=head.hex() or "an empty file",
        )


def check_digest(
    image: int, name: str, digest: bytes | None, verity: Verity, digest_fd: Callable[[int], bytes] | None
) -> tuple[bytes | None, Enforcement]:
    """The digest of the image by whoever can tell, and the enforcement this allows."""
    measured: bytes | None = None
    enforcement = Enforcement.NONE
    if verity != "off":
        try:
            algorithm, measured = fsverity.measure(image)
        except MachineError as error:
            if error.code not in _CANNOT_SEAL:
                raise
            if verity == "require":
                raise MachineError(
                    "composefs.mount.image-not-sealed",
                    f"the kernel cannot vouch for {name}",
                    expected="an image sealed with fs-verity",
                    found=error.message,
                    hint=error.hint,
                ) from error
        else:
            enforcement = Enforcement.KERNEL_VERITY
            if algorithm != "sha256":
                raise DataError(
                    "composefs.mount.digest-algorithm",
                    f"{name} is sealed with another algorithm",
                    expected="sha256",
                    found=algorithm,
                )
    if digest is None:
        return measured, enforcement
    if measured is None:
        if digest_fd is None:
            raise OperatorError(
                "composefs.mount.digest-unchecked",
                f"a digest for {name} was given and nobody can check it",
                expected="an image sealed with fs-verity, or a digest function",
                hint="seal the image and mount with verity=require",
            )
        measured = digest_fd(image)
        enforcement = Enforcement.USERSPACE
    if measured != digest:
        raise DataError(
            "composefs.mount.digest",
            f"{name} is not the image that was asked for",
            expected=digest.hex(),
            found=measured.hex(),
            hint="fetch the image again; nothing was mounted",
        )
    return measured, enforcement
