# SPDX-License-Identifier: MIT
"""powernode image boot"""

from __future__ import annotations

import sys

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, natural, one_of
from powernode.cli.output import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from powernode.image.qemu import Disk

ENDED, CRASHED, TIMEOUT = 10, 11, 12
"""Exit statuses where the expected text was not seen; without --expect a guest that ends by itself is fine."""

COMMAND = Command(
    "image boot",
    "DIR",
    "Boots a built image in QEMU and shows its console. Exit status: 0 when the expected text was seen (without "
    f"--expect: when the guest powered off), {ENDED} when the guest ended before, {CRASHED} when its kernel crashed, "
    f"{TIMEOUT} when its time was up. What the guest writes to the built persist.img is forgotten, unless "
    "--keep-disk says otherwise.",
    options=(
        Option("--arch", "ARCH", "amd64 or arm64 (default: that of the build)", one_of("amd64", "arm64")),
        Option("--board", "NAME", "the board to play (default: that of the build)"),
        Option("--identity", "KEY=VALUE", "tell the guest through fw_cfg who it is; may be repeated", repeat=True),
        Option("--expect", "TEXT", "end as soon as a line of the console has this in it"),
        Option("--timeout", "SECONDS", "end the guest after this time (default 300)", natural, default=300),
        Option("--append", "CMDLINE", "further kernel arguments; may be repeated", repeat=True),
        Option(
            "--keep-disk", "FILE", "copy persist.img there, unless it is there already, and let the guest change it"
        ),
        Option("--disk", "FILE", "a further raw disk, which the guest may change; may be repeated", repeat=True),
        Option("--snapshot", None, "forget what the guest writes to any disk"),
        Option("--dtb", "FILE", "the board's device tree (default: the one in DIR)"),
    ),
    example="powernode image boot initramfs/images/kernel-initrd/amd64 --expect='Reached target multi-user.target'",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    from pathlib import Path

    from powernode.image import board, guest, qemu

    folder = Path(arguments.operands[0])
    for name in ("vmlinuz", "initramfs.cpio.zst", "cmdline"):
        if not (folder / name).is_file():
            raise OperatorError(
                "image.boot.no-image", f"{folder} is no built image", expected=name, hint="powernode image build"
            )
    plan = _plan(folder)
    target = board.read(board.FOLDER, arguments.board or plan.get("board", "qemu")).target(
        arguments.arch or plan.get("arch", folder.absolute().name)
    )
    machine = qemu.Machine(
        target=target,
        kernel=folder / "vmlinuz",
        initramfs=folder / "initramfs.cpio.zst",
        cmdline=" ".join([(folder / "cmdline").read_text().strip(), *arguments.append]),
        disks=tuple(_disks(folder, arguments)),
        identity=dict(_pair(text) for text in arguments.identity),
        dtb=_dtb(folder, target.dtb, arguments.dtb),
    )
    with guest.start(machine, timeout_s=arguments.timeout) as running:
        seen, end = guest.watch(running, arguments.expect, lambda text: write_bytes(text.encode()))
    if seen or (arguments.expect is None and end is guest.End.ENDED):
        write_bytes(b"\n")
        return 0
    reason = end or guest.End.ENDED
    wanted = "" if arguments.expect is None else f" before {arguments.expect!r} was seen"
    print(f"\npowernode: the guest is over: {reason.value}{wanted}", file=sys.stderr)
    return {guest.End.CRASHED: CRASHED, guest.End.TIMEOUT: TIMEOUT}.get(reason, ENDED)


def _disks(folder: Path, arguments: Arguments) -> list[Disk]:
    from pathlib import Path

    from powernode.image.qemu import Disk, copy_disk

    disks = []
    persist = folder / "persist.img"
    if arguments.keep_disk:
        kept = Path(arguments.keep_disk)
        if persist.is_file():
            copy_disk(persist, kept)
        disks.append(Disk(path=kept, throw_away=arguments.snapshot))
    elif persist.is_file():
        disks.append(Disk(path=persist, throw_away=True))
    disks += [Disk(path=Path(path), throw_away=arguments.snapshot) for path in arguments.disk]
    for disk in disks:
        if not disk.path.exists():
            raise OperatorError("image.boot.disk", f"there is no disk {disk.path}")
    return disks


def _plan(folder: Path) -> dict[str, str]:
    """Architecture and board, if the folder says what it is."""
    import json

    try:
        plan = json.loads((folder / "build-manifest.json").read_bytes())["plan"]
        return {name: plan[name] for name in ("arch", "board") if isinstance(plan.get(name), str)}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OperatorError("image.boot.no-image", f"{folder}/build-manifest.json says nothing about a plan") from None


def _dtb(folder: Path, wanted: str | None, given: str | None) -> Path | None:
    from pathlib import Path

    if wanted is None and given is None:
        return None
    path = Path(given) if given else folder / Path(str(wanted)).name
    if not path.is_file():
        raise OperatorError("image.boot.dtb", f"there is no device tree {path}", hint="name one with --dtb")
    return path


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise OperatorError("cli.option", "--identity cannot be understood", expected="KEY=VALUE", found=text)
    return key, value
