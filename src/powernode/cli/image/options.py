# SPDX-License-Identifier: MIT
"""The options that build, plan and verify share, and what they become."""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Option, natural, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from powernode.debian.lock import Lock
    from powernode.image.build import Sources
    from powernode.image.plan import Plan

TARGET_OPTIONS = (
    Option("--arch", "ARCH", "amd64 or arm64", one_of("amd64", "arm64")),
    Option("--variant", "VARIANT", "the boot path; repeat for several (default: every one there is)", repeat=True),
    Option("--board", "BOARD", "a folder of board/", default="qemu"),
)
"""What is built; a build says it of itself."""

CONTENT_OPTIONS = (
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
"""What goes in."""


class Work:
    """Plans, one a variant, and the locks they were made from."""

    def __init__(self, plans: list[Plan], locks: tuple[Lock, Lock], archive: str | None) -> None:
        self.plans = plans
        self._locks = locks
        self._archive = archive

    def sources(self, cache: Path) -> Sources:
        """Fresh ones: what they remember as used belongs to one build."""
        return _sources(self._locks, cache, self._archive)


def host_arch() -> str:
    import platform

    machine = platform.machine()
    known = {"x86_64": "amd64", "aarch64": "arm64"}
    if machine not in known:
        raise OperatorError(
            "cli.image.host", "images cannot be built on this machine", expected=" or ".join(known), found=machine
        )
    return known[machine]


def work(arguments: Arguments) -> Work:
    """What the options of both tables ask for."""
    if not arguments.arch:
        raise OperatorError("cli.option", "which architecture?", expected="--arch=amd64 or --arch=arm64")
    from powernode.image.variants import VARIANTS

    return plan_work(arguments, arguments.arch, arguments.board, arguments.variant or list(VARIANTS))


def plan_work(arguments: Arguments, arch: str, board: str, variants: Sequence[str]) -> Work:
    """What CONTENT_OPTIONS ask for, for this target."""
    from pathlib import Path

    from powernode.image.request import Options, make
    from powernode.image.variants import plan

    made = make(
        Options(
            arch=arch,
            board=board,
            kernel=arguments.kernel,
            modules=tuple(map(Path, arguments.modules)),
            policy=arguments.policy,
            config=Path(arguments.config) if arguments.config else None,
            fleet_root=_checked_keys(Path(arguments.fleet_root)) if arguments.fleet_root else None,
            room_mib=arguments.room,
        )
    )
    lock, host_lock = locks = _locks(arch, arguments.lock)
    return Work([plan(name, made, lock, host_lock) for name in dict.fromkeys(variants)], locks, arguments.archive)


def sources(arguments: Arguments) -> Sources:
    """For verbs that plan nothing."""
    import os

    from powernode.debian.inputs import default_cache

    return _sources(_locks(arguments.arch, arguments.lock), default_cache(os.environ), arguments.archive)


def folder(out: str | None, variant: str, arch: str) -> Path:
    from pathlib import Path

    from powernode.image.request import CHECKOUT

    return (Path(out) if out else CHECKOUT / "initramfs/images") / variant / arch


def _sources(locks: tuple[Lock, Lock], cache: Path, archive: str | None) -> Sources:
    from powernode.debian.inputs import Inputs
    from powernode.image.build import Sources

    lock, host_lock = locks
    inputs = Inputs(lock, cache, archive)
    host = inputs if host_lock is lock else Inputs(host_lock, cache, archive)
    return Sources(inputs=inputs, host_inputs=host, cache=cache)


def _checked_keys(path: Path) -> Path:
    """A node with a damaged file of keys would trust nobody; one with a secret key in it would tell it to everybody."""
    from powernode.image.request import read_given
    from powernode.trust.keys import load_public_keys

    if not load_public_keys(read_given(path, "--fleet-root")):
        raise OperatorError("cli.image.no-keys", f"{path} has no public key in it", hint="leave out --fleet-root")
    return path


def _locks(arch: str, given: str | None) -> tuple[Lock, Lock]:
    """The lock of the image and that of the machine that builds; one and the same where both are one architecture."""
    from pathlib import Path

    from powernode.debian import lock as locks
    from powernode.image.request import CHECKOUT, read_given

    def read(path: Path, wanted: str) -> Lock:
        lock = locks.parse(read_given(path, "--lock"))
        if lock.arch != wanted:
            raise OperatorError(
                "cli.image.lock", f"{path} is the lock of another architecture", expected=wanted, found=lock.arch
            )
        return lock

    lock = read(Path(given) if given else CHECKOUT / locks.path_of(arch), arch)
    host = host_arch()
    return lock, lock if host == arch else read(CHECKOUT / locks.path_of(host), host)
