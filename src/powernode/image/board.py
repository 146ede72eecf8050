# SPDX-License-Identifier: MIT
"""What a board is, read from `board/NAME/board.toml`: kernel, consoles, cmdline, device tree, and how to emulate it.

Invariants: reading is strict: an unknown key, a wrong type or a missing value is refused with its place, so a typing
error never becomes a default. Only data: nothing is looked for on this machine.

Out of scope: building for a board (`variants`), starting it (`qemu`). The file format: board/README.md.

    board = read(Path("board"), "qemu").target("arm64")
    board.cmdline, board.emulation.machine
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from powernode.base.errors import OperatorError
from powernode.base.fields import Fields
from powernode.debian.lock import ARCHITECTURES

__all__ = ["FOLDER", "Board", "Emulation", "Target", "names", "read"]

FOLDER = Path(__file__).resolve().parents[3] / "board"
"""Where a checkout has its boards."""

_CODE = "image.board"
_VERSION = 1
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulation:
    """How QEMU plays the board; `consoles` and `cmdline` come behind those of the real one."""

    machine: str
    cpu: str | None
    memory_mib: int
    disk: str
    network: str
    devices: tuple[str, ...]
    fw_cfg: bool
    consoles: tuple[str, ...]
    cmdline: tuple[str, ...]
    dtb_disable: tuple[str, ...]

    @property
    def kernel_arguments(self) -> tuple[str, ...]:
        """What the kernel is told on top of the board's own arguments."""
        return _arguments(self.consoles, self.cmdline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A board with one architecture. `kernel` is a group of the lock, `dtb` a path in the kernel's device trees."""

    board: str
    arch: str
    kernel: str
    consoles: tuple[str, ...]
    cmdline: tuple[str, ...]
    dtb: str | None
    emulation: Emulation

    @property
    def kernel_arguments(self) -> tuple[str, ...]:
        """What the kernel is told on the real board; the last console is /dev/console."""
        return _arguments(self.consoles, self.cmdline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    name: str
    summary: str
    targets: Mapping[str, Target]

    def target(self, arch: str) -> Target:
        if arch not in self.targets:
            raise OperatorError(
                f"{_CODE}.arch",
                f"there is no {self.name} with {arch}",
                expected=", ".join(self.targets),
                found=arch,
            )
        return self.targets[arch]


def names(folder: Path) -> list[str]:
    """The boards there are."""
    return sorted(path.parent.name for path in folder.glob("*/board.toml"))


def read(folder: Path, name: str) -> Board:
    path = folder / name / "board.toml"
    known = names(folder)
    if name not in known:
        raise OperatorError(
            f"{_CODE}.unknown", f"there is no board {name!r}", expected=", ".join(known) or f"folders in {folder}"
        )
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"{_CODE}.syntax", f"{path} is no TOML: {error}") from error
    with Fields(document, code=_CODE, what=str(path)) as fields:
        fields.integer("version", least=_VERSION, most=_VERSION)
        if (named := fields.text("name")) != name:
            raise OperatorError(f"{_CODE}.name", f"{path} is for another board", expected=name, found=named)
        summary = fields.text("summary")
        targets = {arch: _target(name, arch, fields.fields(arch)) for arch in ARCHITECTURES if fields.has(arch)}
    if not targets:
        raise OperatorError(f"{_CODE}.arch", f"{path} has no architecture", expected=" or ".join(ARCHITECTURES))
    return Board(name=name, summary=summary, targets=targets)


def _target(board: str, arch: str, fields: Fields) -> Target:
    with fields:
        return Target(
            board=board,
            arch=arch,
            kernel=fields.text("kernel"),
            consoles=_texts(fields, "consoles"),
            cmdline=_texts(fields, "cmdline"),
            dtb=fields.text("dtb") if fields.has("dtb") else None,
            emulation=_emulation(fields.fields("emulation")),
        )


def _emulation(fields: Fields) -> Emulation:
    with fields:
        return Emulation(
            machine=fields.text("machine"),
            cpu=fields.text("cpu") if fields.has("cpu") else None,
            memory_mib=fields.integer("memory_mib", least=64, most=1 << 20),
            disk=fields.text("disk"),
            network=fields.text("network"),
            devices=_texts(fields, "devices"),
            fw_cfg=fields.flag("fw_cfg"),
            consoles=_texts(fields, "consoles"),
            cmdline=_texts(fields, "cmdline"),
            dtb_disable=_texts(fields, "dtb_disable"),
        )


def _arguments(consoles: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return (*(f"console={console}" for console in consoles), *others)


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    return tuple(fields.texts(name, [], most=_MOST))
