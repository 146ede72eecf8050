# SPDX-License-Identifier: MIT
"""Running a tool that takes long and has much to say: all of it goes to a log, the headings to whoever waits.

Invariants: when the call is left, also by an interruption, the tool has ended, and so has what it started; and it ends
when this process does, even by SIGKILL. What a tool that runs `apart` mounts is seen by nobody else and goes with it.

Out of scope: what a failure means, and where its log goes.

    last_words = run(["podman", "build", "."], Path("log"), report=print, heading=lambda line: line or None)
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Heading", "Report", "run"]

Report = Callable[[str], None]
Heading = Callable[[str], "str | None"]
"""What of a line is to be reported, if anything."""

_LAST_BYTES = 1500
_GRACE_S = 10.0
"""To unmount and remove what it has made, after SIGTERM."""

_WITH_US = ("setpriv", "--pdeathsig=TERM")
# unshare(1) holds SIGTERM back. Its child is the namespace's first process, and the kernel kills the rest with it.
_APART = (
    *("setpriv", "--pdeathsig=KILL"),
    *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child=KILL", "--"),
)


def run(
    command: Sequence[str],
    log: Path,
    *,
    report: Report,
    heading: Heading,
    environment: Mapping[str, str] | None = None,
    apart: bool = False,
) -> str | None:
    """None, or the last of what a tool said that failed. Without an `environment` it has ours; `apart` gives it mounts
    and processes of its own if we may: where root may not, and where we are not root, nothing can be mounted either."""
    with (
        open(log, "a+b") as file,
        subprocess.Popen(
            [*(_APART if apart and _may_be_apart(environment) else _WITH_US), *command],
            env=environment,
            umask=0o022,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one group to end, and Ctrl-C reaches us alone
        ) as process,
    ):
        start = file.tell()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                text = heading(line.decode("utf-8", "replace").strip())
                if text is not None:
                    report(text)
            status = process.wait()
        except BaseException:
            _end(process)
            raise
        if status == 0:
            return None
        file.seek(max(start, file.tell() - _LAST_BYTES))
        return file.read().decode("utf-8", "replace").strip()


def _may_be_apart(environment: Mapping[str, str] | None) -> bool:
    if os.geteuid() != 0:
        return False
    return subprocess.run([*_APART, "true"], env=environment, capture_output=True, check=False).returncode == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group, and see to it; at once if we are interrupted again."""
    try:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_GRACE_S)  # reads on: who has more to say than a pipe holds would never end
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the group has ended; of a user namespace's, those left
        os.killpg(process.pid, number)
