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
from powernode.image.sets import describe
from powernode.module.directory import ANY_ARCHITECTURE, Module, Root, merge_root, read
from powernode.wire import bootset, nodeconfig

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["CHECKOUT", "Options", "Request", "make", "read_given"]

CHECKOUT = Path(__file__).resolve().parents[3]
"""Where the sources of an initramfs are: its init, its lists of kernel modules, the C library."""

_MAX_BYTES = 1 << 20
_MAX_ROOM_MIB = 16 << 10  # of inode tables alone that is half a gigabyte; a node grows the filesystem to its disk


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
    if options.room_mib > _MAX_ROOM_MIB:
        raise OperatorError(
            "image.request.room",
            "that is too much room for a disk that grows by itself",
            expected=f"at most {_MAX_ROOM_MIB} MiB",
            found=f"{options.room_mib} MiB",
        )
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
        fleet_root=read_given(options.fleet_root, "--fleet-root") if options.fleet_root else b"",
        room_mib=options.room_mib,
    )


def read_given(path: Path, option: str) -> bytes:
    """A file that somebody named."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(
            "image.request.file", f"the file for {option} cannot be read", found=f"{path}: {error.strerror}"
        ) from error


def _base_set(found: tuple[Module, ...], root: Root, policy: str) -> bytes:
    return bootset.encode(describe(found, root, serial=0, instance=bootset.ANY_INSTANCE, not_after=None, policy=policy))


def _config(options: Options) -> dict[str, Json]:
    document: dict[str, Json] = {}
    if options.config:
        what = str(options.config)
        data = decode(read_given(options.config, "--config"), what=what, max_bytes=_MAX_BYTES)
        if not isinstance(data, dict):
            raise DataError("image.request.config", f"{what} holds no object", expected='{"recovery":{"seconds":10}}')
        document.update(data)
    for name, value in (("arch", options.arch), ("board", options.board)):
        if document.setdefault(name, value) != value:
            raise OperatorError(
                "image.request.config",
                f"{options.config} is for another {name}",
                expected=value,
                found=repr(document[name])[:80],
            )
    document.setdefault("version", 1)
    nodeconfig.parse(encode(document))
    return document
