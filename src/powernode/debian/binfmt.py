# SPDX-License-Identifier: MIT
"""Can this machine run programs of another architecture? Installing packages runs their scripts; nothing else needs it.

Invariants: a machine that can is left as it is; one that has qemu-user and forgot to register it is helped by the
kernel's own interface, with what the package says. The registration lasts until the next start.

    ensure("arm64")      # MachineError("debian.binfmt.missing", …) if it cannot be
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from powernode.base.errors import MachineError

__all__ = ["ensure", "is_native"]

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_PACKAGED = Path("/usr/lib/binfmt.d")


def ensure(arch: str, *, kernel: Path = _KERNEL, packaged: Path = _PACKAGED, machine: str = platform.machine()) -> None:
    """Return when programs of `arch` can be run."""
    wanted = _MACHINES[arch]
    if is_native(arch, machine=machine) or _is_registered(kernel / f"qemu-{wanted}"):
        return
    rule = packaged / f"qemu-{wanted}.conf"
    if not rule.is_file():
        raise MachineError(
            "debian.binfmt.missing",
            f"this machine ({machine}) cannot run programs of {arch}, as installing packages must",
            hint="apt-get install qemu-user-binfmt",
        )
    try:
        if not (kernel / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(kernel)], check=True, capture_output=True)
        for line in rule.read_text().splitlines():
            if line.startswith(":"):
                (kernel / "register").write_text(line)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MachineError(
            "debian.binfmt.register",
            f"the interpreter for {arch} is installed, but not registered",
            hint="as root: systemctl restart systemd-binfmt",
        ) from error


def is_native(arch: str, *, machine: str = platform.machine()) -> bool:
    """Whether this machine runs programs of `arch` by itself."""
    return _MACHINES[arch] == machine


def _is_registered(entry: Path) -> bool:
    try:
        return entry.read_text().startswith("enabled")
    except OSError:
        return False
