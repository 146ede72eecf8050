# SPDX-License-Identifier: MIT
"""Copies of this checkout to build from, with locks that the archive can serve, and the command that works in one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.debian import lock
from powernode.image import elf
from support.debian import CACHE, CHECKOUT
from vm._images import HOST_ARCH, locked

PARTS = ("board", "csrc", "initramfs", "src")
_IGNORED = shutil.ignore_patterns("__pycache__", "images", "*.egg-info")
_UNAVAILABLE = ("debian.input.gone", "debian.input.unreachable", "debian.apt.archive")


def copy_of_checkout(target: Path, arch: str) -> Path:
    """One that nobody edits meanwhile. Skips where there are no packages or no compiler to build with."""
    if shutil.which(f"{elf.TRIPLETS[arch]}-gcc") is None:
        pytest.skip(f"no C compiler for {arch} here")
    try:
        locks = {name: locked(name) for name in {arch, HOST_ARCH}}
    except PowernodeError as error:
        if error.code not in _UNAVAILABLE:
            raise
        pytest.skip(f"the packages cannot be had: {error}")
    for part in PARTS:
        shutil.copytree(CHECKOUT / part, target / part, ignore=_IGNORED)
    for name, content in locks.items():
        (target / lock.path_of(name)).write_bytes(lock.encode(content))
    return target


def powernode(
    checkout: Path,
    *words: object,
    cwd: Path,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    umask: int = 0o022,
) -> subprocess.CompletedProcess[str]:
    """The command as it is in `checkout`, run by this interpreter."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "TZ"))}
    settings = {"POWERNODE_CACHE": str(CACHE), "PYTHONPATH": str(checkout / "src"), **(environment or {})}
    return subprocess.run(
        [*prefix, sys.executable, "-m", "powernode.cli", *map(str, words)],
        cwd=cwd,
        env=inherited | settings,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )


def machine_can(*command: str) -> bool:
    return shutil.which(command[0]) is not None and (
        subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
