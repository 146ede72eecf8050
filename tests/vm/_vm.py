# SPDX-License-Identifier: MIT
"""Boot a kernel with an initramfs in QEMU without hardware help, and hear what the guest's script reports.

The guest prints one line `@@ NAME JSON` per result; everything else is the console, kept for error messages.

    outcome = boot(kernel, initramfs, disks=[disk], timeout_s=120)
    outcome.results["sealed"]
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vm._vm_kernel import Kernel, VmUnavailableError

_QEMU = "qemu-system-x86_64"
# Without cmpxchg16b: QEMU 7.2 (Debian 12) sometimes takes it for failed when it was not, the kernel's allocator then
# uses a freed object and about one boot in eight crashes. QEMU 10 is sound; this may go when Debian 12 does.
_CPU = "qemu64,-cx16"
_CRASHES = ("---[ end Kernel panic", "---[ end trace", "Kernel panic - not syncing")
_RESULT = re.compile(r"^@@ (\S+) (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    console: str
    results: dict[str, Any]


def require_tools() -> None:
    if platform.machine() != "x86_64":
        raise VmUnavailableError(
            f"the guest runs this machine's Python on an amd64 kernel; this is {platform.machine()}"
        )
    for tool, package in ((_QEMU, "qemu-system-x86"), ("mke2fs", "e2fsprogs"), ("busybox", "busybox-static")):
        if shutil.which(tool) is None:
            raise VmUnavailableError(f"{tool} is not here (Debian: {package})")


def make_ext4(path: Path, *, size_mib: int, verity: bool) -> Path:
    """An empty ext4 on a sparse file."""
    features = ["-O", "verity"] if verity else []
    with open(path, "wb") as disk:
        disk.truncate(size_mib << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", *features, str(path)], check=True)
    return path


def boot(kernel: Kernel, initramfs: bytes, *, disks: Sequence[Path], timeout_s: int) -> Outcome:
    """Run until the guest powers off; one that crashes or never does is an error with the end of its console."""
    with _archive(initramfs) as archive:
        console = "\n".join(_console(_command(kernel, archive, disks), timeout_s))
    results = {name: json.loads(text) for name, text in _RESULT.findall(console)}
    if results.get("exit") != 0:
        raise AssertionError(f"the guest's script failed:\n{console[-6000:]}")
    return Outcome(console=console, results=results)


def boot_and_cut_power(
    kernel: Kernel, initramfs: bytes, *, disks: Sequence[Path], after: int, delay_s: float, timeout_s: int
) -> list[tuple[str, Any]]:
    """Cut the power `delay_s` after the guest's result number `after`; returns every result up to that instant.

    What the guest has sent to its disk stays, what it only had in memory is lost.
    """
    with _archive(initramfs) as archive:
        lines = _console(_command(kernel, archive, disks), timeout_s, cut_after=after, cut_delay_s=delay_s)
    results = [(name, json.loads(text)) for line in lines for name, text in _RESULT.findall(line)]
    if len(results) < after or any(name == "exit" for name, _ in results):
        raise AssertionError("the guest did not get far enough:\n" + "\n".join(lines[-60:]))
    return results


def _console(
    command: Sequence[str], timeout_s: int, *, cut_after: int | None = None, cut_delay_s: float = 0.0
) -> list[str]:
    """The guest's lines until it ends: powered off, crashed, out of time, or cut after result number `cut_after`."""
    lines: list[str] = []
    results = 0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        timers = [threading.Timer(timeout_s, process.kill)]
        timers[0].start()
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            results += line.startswith("@@ ")
            if line.startswith("@@ ") and results == cut_after:
                timers.append(threading.Timer(cut_delay_s, process.kill))
                timers[-1].start()
            if any(crash in line for crash in _CRASHES):
                process.kill()
        status = process.wait()
        for timer in timers:
            timer.cancel()
    if status and not (cut_after and results >= cut_after):
        lines.append(f"(the emulator ended with status {status}; {timeout_s} s were allowed)")
    return lines


@contextmanager
def _archive(data: bytes) -> Iterator[str]:
    with tempfile.NamedTemporaryFile(prefix="powernode-initramfs-") as file:
        file.write(data)
        file.flush()
        yield file.name


def _command(kernel: Kernel, archive: str, disks: Sequence[Path]) -> list[str]:
    command = [_QEMU, "-accel", "tcg", "-cpu", _CPU, "-m", "768", "-nographic", "-no-reboot", "-nodefaults"]
    command += ["-serial", "stdio", "-kernel", str(kernel.image), "-initrd", archive]
    command += ["-append", "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic cryptomgr.notests"]
    for disk in disks:
        command += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    return command
