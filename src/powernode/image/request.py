# SPDX-License-Identifier: MIT
"""What somebody wants built, with every file of theirs read and checked: the plan is made from this.

Invariants: nothing is downloaded; a configuration that the agent would refuse is refused here; the base set names the
root that the modules really make.

    request = make(Options(arch="arm64", modules=(Path("system-base"),)), checkout)
    request.root.digest, request.config
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from powernode.base.canonical import decode, encode
from powernode.base.errors import DataError, OperatorError
from powernode.image import board
from powernode.image.modules import ANY_ARCHITECTURE, Module, Root, merge_root, read
from powernode.wire import bootset, nodeconfig
from powernode.wire.bootset import BootSet, ModuleRef, RootPolicy

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["CHECKOUT", "Options", "Request", "make"]

CHECKOUT = Path(__file__).resolve().parents[3]
"""Where the sources of an initramfs are: its init, its lists of kernel modules, the C library."""

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """As the operator says it. `kernel` is a group of the lock (default: the board's)."""

    arch: str
    board: str = "qemu"
    kernel: str | None = None
    modules: tuple[Path, ...] = ()
    policy: str = "ephemeral"
    config: Path | None = None
    fleet_root: Path | None = None
    room_mib: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    target: board.Target
    kernel_group: str
    modules: tuple[Module, ...]
    root: Root | None
    base_set: bytes | None
    """The payload of the set that the modules make; trusted because it is in the initramfs."""
    config: dict[str, Json]
    fleet_root: bytes
    room_mib: int

    @property
    def floor(self) -> str:
        return nodeconfig.parse(encode(self.config)).floor


def make(options: Options, checkout: Path = CHECKOUT) -> Request:
    target = board.read(checkout / "board", options.board).target(options.arch)
    found = tuple(read(path) for path in options.modules)
    for module in found:
        if module.facts.architecture not in (options.arch, ANY_ARCHITECTURE):
            raise OperatorError(
                "image.request.architecture",
                f"{module.facts.name} is no module for this image",
                expected=options.arch,
                found=module.facts.architecture,
            )
    root = merge_root(found) if found else None
    return Request(
        target=target,
        kernel_group=options.kernel or target.kernel,
        modules=found,
        root=root,
        base_set=_base_set(found, root, options.policy) if root else None,
        config=_config(options),
        fleet_root=options.fleet_root.read_bytes() if options.fleet_root else b"",
        room_mib=options.room_mib,
    )


def _base_set(found: tuple[Module, ...], root: Root, policy: str) -> bytes:
    ordered = sorted(found, key=lambda module: (module.facts.effective_priority, module.facts.name))
    return bootset.encode(
        BootSet(
            serial=0,
            instance=bootset.ANY_INSTANCE,
            not_after=None,
            root_digest=root.digest,
            root_policy=RootPolicy(policy),
            modules=tuple(
                ModuleRef(name=module.facts.name, version=module.facts.version, digest=module.digest)
                for module in ordered
            ),
        )
    )


def _config(options: Options) -> dict[str, Json]:
    document: dict[str, Json] = {}
    if options.config:
        what = str(options.config)
        data = decode(options.config.read_bytes(), what=what, max_bytes=_MAX_BYTES)
        if not isinstance(data, dict):
            raise DataError("image.request.config", f"{what} holds no object", expected='{"recovery":{"seconds":10}}')
        document.update(data)
    document = {"version": 1, **document, "arch": options.arch, "board": options.board}
    nodeconfig.parse(encode(document))
    return document
