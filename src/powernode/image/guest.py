# SPDX-License-Identifier: MIT
"""A running machine: hear its console as it speaks, type on it, and end it at any instant.

Invariants: when the `with` block ends, so have QEMU and whatever it started; the guest never lives longer than
`timeout_s`. A kernel that crashed is ended once it has said why. The console is what the guest wrote, minus escape
sequences and carriage returns in `lines`.

Out of scope: what the console says (but for the kernel's last words).

    with start(machine, timeout_s=120) as guest:
        for line in guest.lines():
            if "sealed 100 objects" in line:
                guest.cut_power(after_s=0.25)
    guest.end            # End.CUT
"""

from __future__ import annotations

import codecs
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

from powernode.base.errors import MachineError
from powernode.image.qemu import Machine, command

__all__ = ["End", "Guest", "plain", "run", "start", "watch"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])|[\r\x07\x08]")
_LAST_WORDS_S = 3.0


class End(Enum):
    """Why a guest is over."""

    CUT = "its power was cut"
    CRASHED = "its kernel crashed"
    TIMEOUT = "its time was up"
    ENDED = "it ended by itself"


class Guest:
    """A running machine; see `start`."""

    def __init__(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        self._process = process
        self._timers: list[threading.Timer] = []
        self._end: End | None = None
        self._crash = _CrashDetector()
        self._after(timeout_s, End.TIMEOUT)

    @property
    def end(self) -> End | None:
        """None while it runs."""
        return self._end

    def cut_power(self, *, after_s: float = 0.0) -> None:
        """What the guest has sent to its disks stays, what it only had in memory is lost."""
        if after_s:
            self._after(after_s, End.CUT)
        else:
            self._stop(End.CUT)

    def type(self, text: str) -> None:
        """Press keys on the console; nobody sees them if the guest is over."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()

    def chunks(self) -> Iterator[str]:
        """The console, in pieces as they come."""
        assert self._process.stdout is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        partial = ""
        last = b""
        while data := os.read(self._process.stdout.fileno(), 1 << 16):
            last = data
            text = decoder.decode(data)
            *complete, partial = (partial + text).split("\n")
            for line in complete:
                self._listen(line)
            yield text
        status = self._process.wait()
        if self._end is None:
            self._end = End.ENDED
            if status:
                raise MachineError(
                    "image.boot.qemu",
                    f"QEMU ended with status {status}",
                    found=last.decode("utf-8", "replace").strip()[-500:],
                )

    def lines(self) -> Iterator[str]:
        """The console, line by line, without escape sequences; at the end also what was no whole line."""
        partial = ""
        for chunk in self.chunks():
            *complete, partial = (partial + chunk).split("\n")
            yield from map(plain, complete)
        if partial:
            yield plain(partial)

    def close(self) -> None:
        self._stop(End.CUT)
        for timer in self._timers:
            timer.cancel()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _listen(self, line: str) -> None:
        if self._crash.over(line):
            self._stop(End.CRASHED)
        elif self._crash.began(line):
            self._after(_LAST_WORDS_S, End.CRASHED)

    def _after(self, delay_s: float, end: End) -> None:
        timer = threading.Timer(delay_s, self._stop, (end,))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _stop(self, end: End) -> None:
        if self._process.poll() is None:
            self._end = self._end or end
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class _CrashDetector:
    """Tells a crash from a warning, which has the same last line."""

    def __init__(self) -> None:
        self._warning = False

    def began(self, line: str) -> bool:
        """A panic: what it has to say still follows."""
        return "Kernel panic - not syncing" in line

    def over(self, line: str) -> bool:
        if "WARNING: CPU:" in line:
            self._warning = True
        elif "---[ end trace" in line:
            warning, self._warning = self._warning, False
            return not warning
        return "---[ end Kernel panic" in line


def plain(text: str) -> str:
    """Text as one sees it on a terminal."""
    return _ESCAPES.sub("", text)


@contextmanager
def start(machine: Machine, *, timeout_s: float) -> Iterator[Guest]:
    with (
        tempfile.TemporaryDirectory(prefix="powernode-boot-") as scratch,
        run(command(machine, Path(scratch)), timeout_s=timeout_s) as guest,
    ):
        yield guest


@contextmanager
def run(words: Sequence[str], *, timeout_s: float) -> Iterator[Guest]:
    """Any emulator command whose standard output is the console."""
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a group of its own, to end whatever QEMU starts with it
    )
    guest = Guest(process, timeout_s)
    try:
        yield guest
    finally:
        guest.close()


def watch(guest: Guest, expect: str | None, show: Callable[[str], None]) -> tuple[bool, End | None]:
    """Show the console until `expect` is in one of its lines (finished or not) or the guest ends.

    Returns whether it was seen, and why the guest ended if it did.
    """
    line = ""
    for chunk in guest.chunks():
        show(chunk)
        *complete, line = (line + chunk).split("\n")
        if expect is not None and any(expect in plain(text) for text in (*complete, line)):
            return True, guest.end
    return False, guest.end
