# SPDX-License-Identifier: MIT
"""The options that build, plan and verify share, and what they become."""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Option, natural, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from powernode.image.build import Sources
    from powernode.image.lock import Lock
    from powernode.image.plan import Plan

BUILD_OPTIONS = (
    Option("--arch", "ARCH", "amd64 or arm64", one_of("amd64", "arm64")),
    Option("--variant", "VARIANT", "the boot path; repeat for several (default: every one there is)", repeat=True),
    Option("--board", "BOARD", "a folder of board/", default="qemu"),
    Option("--kernel", "GROUP", "kernel-cloud or kernel-generic (default: the board's)"),
    Option("--modules", "DIR", "a module of the root, as a folder; repeat for several", repeat=True),
    Option(
        "--policy",
        "POLICY",
        "what becomes of changes to the root: ro, ephemeral or persistent",
        one_of("ro", "ephemeral", "persistent"),
        default="ephemeral",
    ),
    Option("--config", "FILE", "the node's configuration (JSON); what is not in it has safe defaults"),
    Option("--fleet-root", "FILE", "public keys (PEM) that may sign sets for the node"),
    Option("--room", "MIB", "room on the persistent disk, beside what is on it", natural, default=256),
    Option("--archive", "URL", "a Debian archive or snapshot (default: that of this machine's apt sources)"),
    Option("--lock", "FILE", "the lock (default: initramfs/lock/ARCH.json)"),
)


def host_arch() -> str:
    import platform

    machine = platform.machine()
    known = {"x86_64": "amd64", "aarch64": "arm64"}
    if machine not in known:
        raise OperatorError(
            "cli.image.host", "images cannot be built on this machine", expected=" or ".join(known), found=machine
        )
    return known[machine]


def plans(arguments: Arguments) -> list[Plan]:
    """A plan for every variant that was asked for."""
    from pathlib import Path

    from powernode.image import request, variants

    if not arguments.arch:
        raise OperatorError("cli.option", "which architecture?", expected="--arch=amd64 or --arch=arm64")
    made = request.make(
        request.Options(
            arch=arguments.arch,
            board=arguments.board,
            kernel=arguments.kernel,
            modules=tuple(map(Path, arguments.modules)),
            policy=arguments.policy,
            config=_path(arguments.config),
            fleet_root=_path(arguments.fleet_root),
            room_mib=arguments.room,
        )
    )
    lock, host_lock = _locks(arguments)
    return [variants.plan(name, made, lock, host_lock) for name in arguments.variant or variants.VARIANTS]


def sources(arguments: Arguments, cache: Path | None = None) -> Sources:
    import os

    from powernode.image.build import Sources
    from powernode.image.inputs import Inputs, default_cache

    place = cache or default_cache(os.environ)
    lock, host_lock = _locks(arguments)
    inputs = Inputs(lock, place, arguments.archive)
    host = inputs if host_lock.arch == lock.arch else Inputs(host_lock, place, arguments.archive)
    return Sources(inputs=inputs, host_inputs=host, cache=place)


def folder(out: str | None, variant: str, arch: str) -> Path:
    from pathlib import Path

    from powernode.image.request import CHECKOUT

    return (Path(out) if out else CHECKOUT / "initramfs/images") / variant / arch


def _locks(arguments: Arguments) -> tuple[Lock, Lock]:
    from powernode.image import lock as locks
    from powernode.image.request import CHECKOUT

    path = _path(arguments.lock) or CHECKOUT / locks.path_of(arguments.arch)
    lock = locks.parse(path.read_bytes())
    host = host_arch()
    if host == lock.arch:
        return lock, lock
    return lock, locks.parse((CHECKOUT / locks.path_of(host)).read_bytes())


def _path(text: str | None) -> Path | None:
    from pathlib import Path

    return Path(text) if text else None
