# SPDX-License-Identifier: MIT
"""A kernel to boot in tests: Debian's cloud flavour of the next release, unpacked in the tests' cache.

Once unpacked, the cache is used without asking the archive again: remove it to get a newer kernel.

    kernel = get_kernel()          # raises VmUnavailableError with the reason
    kernel.image, kernel.module("erofs")
"""

from __future__ import annotations

import lzma
import os
from dataclasses import dataclass
from pathlib import Path

from support.debian import CACHE, PrivateApt
from support.debian import UnavailableError as VmUnavailableError

__all__ = ["Kernel", "VmUnavailableError", "get_kernel"]

SUITE = "trixie"
_META_PACKAGE = "linux-image-cloud-amd64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    image: Path
    modules: Path

    def module(self, name: str) -> bytes | None:
        """The module, uncompressed; None if it is built in."""
        for path in self.modules.rglob(f"{name}.ko*"):
            data = path.read_bytes()
            return lzma.decompress(data) if path.suffix == ".xz" else data
        return None

    def closure(self, names: tuple[str, ...]) -> list[tuple[str, bytes]]:
        """The modules with what they depend on, in the order to load them."""
        loaded: dict[str, bytes] = {}

        def load(name: str) -> None:
            data = self.module(name)
            if name in loaded or data is None:
                return
            for needed in _depends(data):
                load(needed)
            loaded[name] = data

        for name in names:
            load(name)
        return list(loaded.items())


def get_kernel() -> Kernel:
    """The newest kernel in the cache, or a freshly downloaded one."""
    cache = CACHE / "vm"
    kernels = sorted(cache.glob("linux-image-*"))
    return _kernel_in(kernels[-1] if kernels else _download(cache))


def _kernel_in(root: Path) -> Kernel:
    images = sorted(root.glob("boot/vmlinuz-*"))
    modules = sorted([*root.glob("usr/lib/modules/*/kernel"), *root.glob("lib/modules/*/kernel")])
    if not images or not modules:
        raise VmUnavailableError(f"{root} holds no kernel; remove it and try again")
    return Kernel(image=images[0], modules=modules[0])


def _download(cache: Path) -> Path:
    apt = PrivateApt(SUITE)
    apt.update()
    packages = [name for name in apt.depends(_META_PACKAGE) if name.startswith("linux-image-")]
    if not packages:
        raise VmUnavailableError(f"the archive has no {_META_PACKAGE} for {SUITE}")
    final = cache / packages[0]
    partial = cache / f"partial-{os.getpid()}"
    apt.unpack(packages[:1], partial)
    partial.rename(final)
    return final


def _depends(module: bytes) -> list[str]:
    start = module.find(b"\0depends=") + 1
    if not start:
        return []
    text = module[start : module.index(b"\0", start)].decode().removeprefix("depends=")
    return [name for name in text.split(",") if name]
