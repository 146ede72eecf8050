# SPDX-License-Identifier: MIT
"""powernode-agent boot"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from powernode.agent.boot import Boot, Outcome
from powernode.agent.kernel import LinuxKernel
from powernode.agent.paths import Paths
from powernode.agent.report import Report
from powernode.agent.situation import Clocks, Situation
from powernode.base.errors import MachineError, PowernodeError
from powernode.cli.agent import DISABLED, NOTHING_TO_BOOT
from powernode.cli.options import Arguments, Command, Option

COMMAND = Command(
    "boot",
    "",
    "Finds persist and this machine's identity, chooses a boot set, verifies and seals it, and mounts it at /sysroot. "
    "With nothing it may boot it shows why on every console and restarts the machine.",
    options=(
        Option("--dry-run", None, "say what would be done and change nothing"),
        Option("--root", "PREFIX", "use the tree at PREFIX instead of /", default="/"),
        Option("--stay", None, "move no /proc, /sys, /dev and /run into the root: what runs this (dracut) does that"),
        Option("--json", None, "with --dry-run: print what was found as one JSON object"),
    ),
    example="powernode-agent boot --dry-run\npowernode: plan: good 53cf8…: root sha256:ab12… policy=ro, stamped",
    most=0,
    program="powernode-agent",
)


def run(arguments: Arguments) -> int:
    paths = Paths(arguments.root)
    say = _quiet if arguments.json else _say if arguments.dry_run else _to_console
    report = Report(clock=time.monotonic, say=say)
    clocks = Clocks(monotonic=time.monotonic, wall=time.time, sleep=time.sleep)
    if arguments.dry_run:
        return _dry_run(Situation(paths, report, clocks), paths, report, as_json=arguments.json)
    kernel = LinuxKernel(scratch=paths.at("/run"))
    outcome = Boot(paths, kernel, report, clocks, stay=arguments.stay).run()
    if outcome.kind == "booted":
        return 0
    if outcome.kind == "disabled":
        return DISABLED
    _recover(outcome, paths, kernel, report)
    return NOTHING_TO_BOOT


def _say(line: str) -> None:
    print(line, flush=True)


def _to_console(line: str) -> None:
    """Not by print: a console that has gone must not cost the boot, now or when the interpreter ends."""
    with suppress(OSError):
        os.write(1, f"{line}\n".encode(errors="replace"))


def _quiet(line: str) -> None:
    pass


def _dry_run(situation: Situation, paths: Paths, report: Report, *, as_json: bool) -> int:
    from powernode.agent.plan import dry_run

    would_boot = dry_run(situation, paths, report)
    if as_json:
        from powernode.agent.report import redacted
        from powernode.base.canonical import encode

        print(encode(redacted(report.document("dry-run"))).decode())
    return 0 if would_boot else NOTHING_TO_BOOT


def _recover(outcome: Outcome, paths: Paths, kernel: LinuxKernel, report: Report) -> None:
    from powernode.agent.recovery import Recovery, screen

    document = report.document("nothing")
    recovery = Recovery(paths, kernel, sleep=time.sleep, wait_key=_wait_key, run_shell=_shell)
    recovery.keep(document)
    text = screen(document, seconds=outcome.recovery_s, shell=outcome.shell)
    try:
        recovery.run(text, seconds=outcome.recovery_s, shell=outcome.shell)
    except PowernodeError as error:  # the caller restarts the machine its own way
        print(f"powernode: {error}", file=sys.stderr)


def _wait_key(seconds: float) -> bool:
    """Whether somebody pressed Enter on the console."""
    import select

    ready, _, _ = select.select([0], [], [], seconds)
    if not ready:
        return False
    if os.read(0, 1024):
        return True
    time.sleep(seconds)  # the end of the input: nobody is there
    return False


def _shell() -> None:
    try:
        process = os.posix_spawn("/bin/sh", ["/bin/sh", "-i"], os.environ)
    except OSError as error:
        raise MachineError("recovery.shell", "there is no /bin/sh in this image", found=str(error)) from error
    os.waitpid(process, 0)
