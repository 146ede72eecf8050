# SPDX-License-Identifier: MIT
"""The boot paths an image can be made for, one module each: what turns a request into the steps that make it.

Uses everything of image; used by the command line. A new variant is a new module and a line in VARIANTS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from powernode.base.errors import OperatorError
from powernode.debian.lock import Lock
from powernode.image.plan import Plan
from powernode.image.request import CHECKOUT, Request
from powernode.image.variants import kernel_initrd

__all__ = ["VARIANTS", "plan"]

VARIANTS: dict[str, Callable[[Request, Lock, Lock, Path], Plan]] = {"kernel-initrd": kernel_initrd.plan}


def plan(variant: str, request: Request, lock: Lock, host_lock: Lock, checkout: Path = CHECKOUT) -> Plan:
    """What would be done; `host_lock` is the lock of the architecture that builds."""
    if variant not in VARIANTS:
        raise OperatorError(
            "image.variant", "there is no such variant", expected=", ".join(VARIANTS), found=repr(variant)
        )
    return VARIANTS[variant](request, lock, host_lock, checkout)
