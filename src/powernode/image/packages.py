# SPDX-License-Identifier: MIT
"""Which Debian packages go into which group of the lock: the one table to edit, and what turns it into a lock.

Invariants: the table holds names only; the same archive state gives the same lock.

Out of scope: which files of a package are used (image.python, image.kernel, image.initramfs).

    lock = resolve(PrivateApt("trixie", "amd64", folder), "trixie", "amd64")
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from powernode.base.errors import DataError
from powernode.debian.basesystem import SYSTEM_BASE
from powernode.debian.lock import Lock, LockedPackage

__all__ = ["GROUPS", "SUITE", "Group", "How", "Oracle", "resolve"]

SUITE = "trixie"


class How(enum.Enum):
    EXACT = "these packages and nothing else"
    CLOSURE = "with everything they need to be installed into nothing"
    POINTEE = "the one image that the meta-package depends on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`{arch}` in a name is the lock's architecture."""

    how: How
    names: tuple[str, ...]


GROUPS = {
    # Files are copied from these one by one, so Debian's dependencies (debconf, perl, …) do not count: libraries do.
    "initramfs": Group(
        how=How.EXACT,
        names=(
            "busybox-static",
            "ca-certificates",
            "e2fsprogs",  # e2fsck, and for it libext2fs2t64 libcom-err2 libss2 libblkid1 libuuid1
            "libblkid1",
            "libbz2-1.0",
            "libc6",
            "libcom-err2",
            "libexpat1",
            "libext2fs2t64",
            "libffi8",
            "libgcc-s1",
            "liblzma5",
            "libpython3.13-minimal",
            "libpython3.13-stdlib",
            "libss2",
            "libssl3t64",
            "libuuid1",
            "libzstd1",
            "python3.13-minimal",
            "zlib1g",
        ),
    ),
    "kernel-cloud": Group(how=How.POINTEE, names=("linux-image-cloud-{arch}",)),
    "kernel-generic": Group(how=How.POINTEE, names=("linux-image-{arch}",)),
    # What examples/modules/system-base asks for: small, without D-Bus, and without apt, which has nothing to do on a
    # root that is computed from modules.
    "system-base": Group(how=How.CLOSURE, names=SYSTEM_BASE),
    "system-base-ssh": Group(how=How.CLOSURE, names=(*SYSTEM_BASE, "openssh-server")),
}


class Oracle(Protocol):
    """What debian.apt.PrivateApt knows."""

    def exact(self, names: Sequence[str]) -> list[LockedPackage]: ...
    def closure(self, requests: Sequence[str]) -> list[LockedPackage]: ...
    def depends(self, name: str) -> list[str]: ...


def resolve(oracle: Oracle, suite: str, arch: str) -> Lock:
    """The lock of what the archive has now."""
    groups = {}
    for group, wanted in GROUPS.items():
        names = [name.format(arch=arch) for name in wanted.names]
        if wanted.how is How.POINTEE:
            names = [_pointee(oracle, name) for name in names]
        packages = oracle.closure(names) if wanted.how is How.CLOSURE else oracle.exact(names)
        found = {package.name for package in packages}
        if wanted.how is not How.CLOSURE and found != set(names):
            raise DataError(
                "image.packages.unresolved",
                f"the archive does not give what {group} asks for",
                expected=", ".join(sorted(names)),
                found=", ".join(sorted(found)),
            )
        groups[group] = tuple(sorted(packages, key=lambda package: package.name))
    return Lock(arch=arch, suite=suite, groups=groups)


def _pointee(oracle: Oracle, meta: str) -> str:
    images = [name for name in oracle.depends(meta) if name.startswith("linux-image-")]
    if len(images) != 1:
        raise DataError(
            "image.packages.unresolved",
            f"{meta} names not exactly one kernel",
            expected="one linux-image-…",
            found=", ".join(images) or "none",
        )
    return images[0]
