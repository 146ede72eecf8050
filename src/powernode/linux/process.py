# SPDX-License-Identifier: MIT
"""Run a program for a limited time, silently.

Invariants: when the call returns the program has ended, and so has what it started, if its time was up. It gets no
input, no environment but PATH, and what it says goes nowhere. Without `subprocess`, whose imports cost an
initramfs more than this file.

Out of scope: its output.

    run(["/usr/bin/busybox", "ip", "link", "set", "eth0", "up"], 2.0)      # 0
"""

from __future__ import annotations

import os

from powernode.base.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def run(words: Sequence[str], timeout_s: float) -> int | None:
    """The exit status, negative for a signal; None if its time was up. `words[0]` is a path."""
    import select
    import signal

    nothing = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        process = os.posix_spawn(words[0], [*words], _ENVIRONMENT, file_actions=nothing, setpgroup=0)
    except OSError as error:
        raise MachineError(
            "linux.process.spawn", f"cannot run {words[0]}", found=os.strerror(error.errno or 0)
        ) from error
    ended = os.pidfd_open(process)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        in_time = bool(poll.poll(max(0.0, timeout_s) * 1000))
        if not in_time:
            os.killpg(process, signal.SIGKILL)
    finally:
        os.close(ended)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status if in_time else None
