# SPDX-License-Identifier: MIT
"""A board as QEMU plays it: which program, with which command line.

No hardware help is used (TCG), so this works everywhere and the same way. Invariants: the same machine gives the same
words; a throw-away disk leaves its file as it was.

Out of scope: running it (`guest`), building what is started.

    machine = Machine(target=board.target("amd64"), kernel=Path("vmlinuz"), initramfs=Path("initramfs.cpio.zst"),
                      cmdline="console=ttyS0", disks=(Disk(path=Path("persist.img"), throw_away=True),))
    command(machine, scratch=Path("/tmp/x"))     # ["qemu-system-x86_64", "-accel", "tcg", …]
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from powernode.base.errors import MachineError, OperatorError
from powernode.image import fdt
from powernode.image.board import Target

__all__ = ["Disk", "Machine", "command", "copy_disk"]

_CODE = "image.boot"
_PROGRAMS = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
_PACKAGES = {"amd64": "qemu-system-x86", "arm64": "qemu-system-arm"}
_FW_CFG = "opt/com.powernode/"
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,37}")  # the device allows names of 55 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A raw disk image; what the guest writes to a throw-away one is forgotten at the end."""

    path: Path
    throw_away: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All there is to start. `identity` goes through fw_cfg, `options` to QEMU as they are."""

    target: Target
    kernel: Path
    initramfs: Path | None
    cmdline: str
    disks: tuple[Disk, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)
    dtb: Path | None = None
    network: bool = True
    options: tuple[str, ...] = ()


def command(machine: Machine, scratch: Path) -> list[str]:
    """The command line; a device tree that the emulator cannot live up to is corrected in `scratch`."""
    emulation = machine.target.emulation
    words = [_program(machine.target.arch), "-accel", "tcg", "-machine", emulation.machine]
    words += ["-cpu", emulation.cpu] if emulation.cpu else []
    words += ["-m", str(emulation.memory_mib), "-nodefaults", "-display", "none", "-no-reboot"]
    words += ["-serial", "stdio", "-kernel", str(machine.kernel)]
    words += ["-initrd", str(machine.initramfs)] if machine.initramfs else []
    words += ["-append", " ".join([machine.cmdline, *emulation.kernel_arguments]).strip()]
    words += _dtb(machine, scratch) + _identity(machine)
    for number, disk in enumerate(machine.disks):
        snapshot = "on" if disk.throw_away else "off"
        file = str(disk.path).replace(",", ",,")
        words += ["-drive", f"file={file},format=raw,if=none,id=disk{number},snapshot={snapshot},cache=unsafe"]
        words += ["-device", f"{emulation.disk},drive=disk{number}"]
    if machine.network:
        words += ["-netdev", "user,id=net0", "-device", f"{emulation.network},netdev=net0"]
    for device in emulation.devices:
        words += ["-device", device]
    return [*words, *machine.options]


def copy_disk(source: Path, target: Path) -> None:
    """A copy whose holes stay holes; a `target` that is there already is left alone."""
    if target.exists():
        return
    partial = target.with_name(f"{target.name}.part")
    with open(source, "rb") as old, open(partial, "wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                break
            end = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            while at < end:
                at += os.copy_file_range(old.fileno(), new.fileno(), end - at, at, at)
    partial.rename(target)


def _dtb(machine: Machine, scratch: Path) -> list[str]:
    if machine.target.dtb is None:
        return []
    if machine.dtb is None:
        raise OperatorError(
            f"{_CODE}.dtb",
            f"{machine.target.board} does not start without its device tree",
            expected=machine.target.dtb,
        )
    corrected = scratch / "emulated.dtb"
    corrected.write_bytes(fdt.disable(machine.dtb.read_bytes(), machine.target.emulation.dtb_disable))
    return ["-dtb", str(corrected)]


def _identity(machine: Machine) -> list[str]:
    if machine.identity and not machine.target.emulation.fw_cfg:
        raise OperatorError(
            f"{_CODE}.identity",
            f"{machine.target.board} has no fw_cfg device to be told its identity by",
            hint="use --append powernode.instance_uuid=…",
        )
    words = []
    for key, value in sorted(machine.identity.items()):
        if not _KEY.fullmatch(key) or not value:
            raise OperatorError(
                f"{_CODE}.identity", "no identity can be given like this", expected="KEY=VALUE", found=key
            )
        words += ["-fw_cfg", f"name={_FW_CFG}{key},string={value.replace(',', ',,')}"]
    return words


def _program(arch: str) -> str:
    program = _PROGRAMS[arch]
    if shutil.which(program) is None:
        raise MachineError(f"{_CODE}.tool", f"{program} is not here", hint=f"apt-get install {_PACKAGES[arch]}")
    return program
