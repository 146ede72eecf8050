# SPDX-License-Identifier: MIT
"""What a kernel's configuration allows: the strongest enforcement an image with it can reach, and why not more.

Invariants: the answer comes from the configuration file alone; an option that is absent counts as off. An image below
its floor is refused when it is built, not when it boots.

Out of scope: whether modules are in the initramfs (the module lists ask for them by name), what a boot really reached
(the mount report says that).

    reach = reachable(config_text, "6.12.107+deb13-cloud-amd64")
    require(reach, Enforcement.KERNEL_VERITY)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from powernode.base.errors import OperatorError
from powernode.composefs.mount import Enforcement

__all__ = ["Reach", "parse", "reachable", "require"]

# Overlay's verity=require came with 6.6; before, nothing in the kernel compares a file with the digest the image names.
_VERITY_SINCE = (6, 6)
_LINE = re.compile(r'(CONFIG_\w+)=(?:"(.*)"|(\S+))')
_STRENGTH = [Enforcement.NONE, Enforcement.USERSPACE, Enforcement.KERNEL_VERITY]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """`missing` says what the next stronger enforcement would need."""

    release: str
    enforcement: Enforcement
    missing: tuple[str, ...]


def parse(text: str) -> dict[str, str]:
    """`CONFIG_X` to its value; what is not set is absent."""
    found = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            found[match[1]] = match[2] if match[3] is None else match[3]
    return found


def reachable(text: str, release: str) -> Reach:
    config = parse(text)

    def on(option: str) -> bool:
        return config.get(option) in ("y", "m")

    mounts = [f"{option}=y or m" for option in ("CONFIG_EROFS_FS", "CONFIG_OVERLAY_FS") if not on(option)]
    if not (on("CONFIG_BLK_DEV_LOOP") or on("CONFIG_EROFS_FS_BACKED_BY_FILE")):
        mounts.append("CONFIG_EROFS_FS_BACKED_BY_FILE=y or CONFIG_BLK_DEV_LOOP=m")
    if not on("CONFIG_EROFS_FS_XATTR"):
        mounts.append("CONFIG_EROFS_FS_XATTR=y")
    if mounts:
        return Reach(release=release, enforcement=Enforcement.NONE, missing=tuple(mounts))
    verity = [] if on("CONFIG_FS_VERITY") else ["CONFIG_FS_VERITY=y"]
    version = re.match(r"(\d+)\.(\d+)", release)
    if version is None or (int(version[1]), int(version[2])) < _VERITY_SINCE:
        verity.append(f"Linux {'.'.join(map(str, _VERITY_SINCE))}")
    level = Enforcement.USERSPACE if verity else Enforcement.KERNEL_VERITY
    return Reach(release=release, enforcement=level, missing=tuple(verity))


def require(reach: Reach, floor: Enforcement) -> None:
    if _STRENGTH.index(reach.enforcement) < _STRENGTH.index(floor):
        raise OperatorError(
            "image.kernel.enforcement",
            f"an image with the kernel {reach.release} could not enforce what it should",
            expected=f"{floor.value}, which needs {' and '.join(reach.missing)}",
            found=reach.enforcement.value,
            hint="choose another kernel, or lower the floor",
        )
