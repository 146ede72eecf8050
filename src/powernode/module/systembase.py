# SPDX-License-Identifier: MIT
"""The base system of images: a module like the others, but for its pins, which are in the lock of images.

Invariants: the same lock and folder give the same image digest on any machine. It is the lowest module there is.

Out of scope: publishing it; `build` does that for every module, with the module's own lock.

    base = build(folder, lock, inputs.deb, arch="arm64", directory=Path("system-base-arm64"), cache=cache, report=print)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from powernode.debian.lock import Lock
from powernode.module import bootstrap
from powernode.module import directory as modules
from powernode.module._tools import Report
from powernode.module.bootstrap import Bootstrap
from powernode.module.compose import compose
from powernode.module.source import read_source
from powernode.module.stages import Compose, version_with

__all__ = ["GROUP", "VERSION", "build", "group"]

GROUP = "system-base"
VERSION = "13.1.0"
"""Of a base that nobody tagged: in module.json, not in the image."""


def group(options: Sequence[str]) -> str:
    """The group of the lock that has the packages: `system-base`, `system-base-ssh`."""
    return "-".join((GROUP, *options))


def build(
    folder: Path,
    lock: Lock,
    deb: Callable[[str], Path],
    *,
    arch: str,
    directory: Path,
    cache: Path,
    options: Sequence[str] = (),
    report: Report,
) -> modules.Module:
    """The module in `directory`, which must not be there yet; `deb` gives the checked file of a package."""
    modules.refuse_existing(directory)
    stage = Compose.of(
        folder,
        read_source(folder).manifest,
        version=version_with(VERSION, options),
        arch=arch,
        added=frozenset(),
        options=tuple(options),
    )
    root = bootstrap.make(Bootstrap(arch=arch, packages=lock.group(group(options))), deb, cache, report=report)
    return compose(stage, root, directory, effective_priority=0).module
