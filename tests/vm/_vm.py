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
# An old, plain processor. With `max` the kernel once crashed before init on a busy host (QEMU 7.2, cause not found).
_CPU = "qemu64"
_ATTEMPTS = 3
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


def _crashed_at_start(console: str) -> bool:
    """The kernel died before our init: the emulator's fault, and nothing has happened to the disks."""
    return "Kernel panic" in console and not _RESULT.search(console)


def boot(kernel: Kernel, initramfs: bytes, *, disks: Sequence[Path], timeout_s: int) -> Outcome:
    """Run until the guest powers off; a guest that never does is an error with the end of its console."""
    with _archive(initramfs) as archive:
        command = _command(kernel, archive, disks)
        for _ in range(_ATTEMPTS):
            try:
                process = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
                )
            except subprocess.TimeoutExpired as error:
                console = (error.stdout or b"").decode("utf-8", "replace")
                raise AssertionError(f"the guest did not power off in {timeout_s} s:\n{console[-3000:]}") from error
            console = process.stdout.decode("utf-8", "replace").replace("\r\n", "\n")
            if not _crashed_at_start(console):
                break
    results = {name: json.loads(text) for name, text in _RESULT.findall(console)}
    if results.get("exit") != 0:
        raise AssertionError(f"the guest's script failed:\n{console[-6000:]}{process.stderr.decode()[-1000:]}")
    return Outcome(console=console, results=results)


def boot_and_cut_power(
    kernel: Kernel, initramfs: bytes, *, disks: Sequence[Path], after: int, delay_s: float, timeout_s: int
) -> list[tuple[str, Any]]:
    """Cut the power `delay_s` after the guest's result number `after`; returns every result up to that instant.

    What the guest has sent to its disk stays, what it only had in memory is lost.
    """
    lines: list[str] = []
    with _archive(initramfs) as archive:
        for _ in range(_ATTEMPTS):
            lines = _run_until(_command(kernel, archive, disks), after, delay_s, timeout_s)
            if not _crashed_at_start("\n".join(lines)):
                break
    results = [(name, json.loads(text)) for line in lines for name, text in _RESULT.findall(line)]
    if len(results) < after or any(name == "exit" for name, _ in results):
        raise AssertionError("the guest did not get far enough:\n" + "\n".join(lines[-60:]))
    return results


def _run_until(command: Sequence[str], after: int, delay_s: float, timeout_s: int) -> list[str]:
    """The console of a guest that is killed `delay_s` after its result number `after`."""
    lines: list[str] = []
    count = 0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    ) as process:
        watchdog = threading.Timer(timeout_s, process.kill)
        watchdog.start()
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("@@ "):
                count += 1
                if count == after:
                    threading.Timer(delay_s, process.kill).start()
        watchdog.cancel()
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
    command += ["-append", "console=ttyS0 quiet loglevel=4 panic=-1 cryptomgr.notests"]
    for disk in disks:
        command += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    return command
