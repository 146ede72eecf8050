# SPDX-License-Identifier: MIT
"""Marks in a boot: what is laid over an initramfs to tell when each phase ends, and how the console is read.

Every mark is a line in the kernel's log, so that all times are of the guest's one clock and the host's load shows only
as far as it slows the guest. The marks are a second archive behind the initramfs, which replaces /init by the same
script with `echo`s in it and starts the agent through a module that marks and then calls it. They cost some hundred
microseconds. The agent's stages are from its own boot report, on the same scale by the clock reading in its first mark.

The other initramfs, a peer's, is not touched: it has the kernel's own line "Run /init", and the root's init at the end.

    image = with_marks(folder / "initramfs.cpio.zst", scratch, ends="root")
    times = read_times(boot(machine).lines)       # {"run": 1688.1, "mounts": 1694.0, …} in ms
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import ROOT

from powernode.archive import cpio

__all__ = ["PHASES", "SMALL_INIT", "for_sealing", "phases", "read_modules", "read_sealing", "read_times", "with_marks"]

PHASES = {
    "run": "kernel, until it runs /init",
    "mounts": "init: mounts",
    "modules": "init: kernel modules",
    "python": "interpreter",
    "imports": "its first imports",
    "config": "config",
    "persist": "persist",
    "identity": "identity",
    "choice": "choice",
    "verify": "verify",
    "seal": "seal, or the stamp",
    "mount": "mount",
    "preflight": "preflight",
    "finished": "binds, report",
    "done": "hand over",
    "agent": "interpreter's end",
    "root": "switch_root, until the root's init",
}
"""What each phase is called, by the mark at its end."""

_AGENT_CLOCK = ("config", "persist", "identity", "choice", "verify", "seal", "mount", "preflight", "finished")
_MARK = re.compile(r"\[ *([\d.]+)\] (?:Run /init|@@ (\w+)(?: (\d+))?)")

_TELL = """$b echo
{report}$b dmesg | $b grep -e 'Run /init' -e '@@ '
$b sync
$b poweroff -f
"""
SMALL_INIT = (
    '#!/usr/bin/busybox sh\necho "@@ root" >/dev/kmsg\nb=/usr/bin/busybox\n'
    "if [ -e /run/powernode/boot.json ]; then\n"
    "    $b echo; $b printf '@@report '; $b cat /run/powernode/boot.json; $b cat /run/bench-modules\nfi\n"
) + _TELL.format(report="")
"""A root's init that tells the marks and ends; with the agent's report if there is one."""

_AGENT = """import gc, os, time
log = open("/dev/kmsg", "wb", buffering=0)
def mark(name):
    log.write(f"@@ {name} {time.monotonic_ns()}".encode())
def end(status):
    mark("done")
    with open("/sysroot/run/bench-modules", "w") as file:
        print("@@imported", *sys.modules, file=file)
    leave(status)
mark("python")
gc.disable()  # as it does itself
import powernode.cli.agent.boot, sys
mark("imports")
leave, os._exit = os._exit, end
import powernode.cli.agent.__main__
"""


_SEAL = """import os, time
from powernode import native
from powernode.agent.kernel import LinuxKernel
from powernode.linux.files import syncfs
from powernode.linux.seal import seal_files
os.makedirs("/persist", exist_ok=True)
LinuxKernel().mount_disk("/dev/vda", "/persist")
store = "/persist/var/lib/powernode/objects"
names = [f"{fan}/{name}" for fan in os.listdir(store) for name in os.listdir(f"{store}/{fan}")]
sizes = {name: os.stat(f"{store}/{name}").st_size for name in names}
names.sort(key=lambda name: (sizes[name], name))  # so that every other one gives two halves alike
folder = os.open(store, os.O_RDONLY)
for number, way in enumerate(ORDER):
    os.environ["POWERNODE_NATIVE"] = {"c": "require", "python": "off"}[way]
    native.reset()
    mine = [(name, bytes.fromhex(name.replace("/", ""))) for name in names[number::2]]
    native.library()
    start = time.monotonic()
    answers = seal_files(folder, mine)
    syncfs(folder)
    seconds = time.monotonic() - start
    assert not any(answers), answers
    size = sum(sizes[name] for name, _ in mine)
    print(f"@@sealed {way} {len(mine)} {size / 1e6} {seconds}", flush=True)
"""


def with_marks(initramfs: Path, scratch: Path, *, ends: str) -> Path:
    """`ends` is `root` if the root's init tells, `agent` if the boot is to end before the root is changed."""
    script = []
    for line in (ROOT / "initramfs/init").read_text().splitlines():
        if "/etc/powernode/modules" in line and not line.startswith("#"):
            script.append('echo "@@ mounts" >/dev/kmsg')
        if "-m powernode.cli.agent boot" in line:
            script.append('echo "@@ modules" >/dev/kmsg')
            line = line.replace("-m powernode.cli.agent boot", "-m bench_agent boot")
        script.append(line)
        if line.startswith("status="):  # /dev is in the new root by now
            script.append('echo "@@ agent" >/sysroot/dev/kmsg')
            if ends == "agent":
                report = "$b printf '@@report '; $b cat /sysroot/run/powernode/boot.json /sysroot/run/bench-modules\n"
                script.append("b=busybox\n" + _TELL.format(report=report))
    text = "\n".join(script) + "\n"
    if text.count('echo "@@') != 3:
        raise SystemExit("initramfs/init has changed: bench/bootprobe.py no longer finds where its phases end")
    files = {"init": (text.encode(), 0o755), "usr/lib/python3.13/bench_agent.py": (_AGENT.encode(), 0o644)}
    return with_files(initramfs, scratch / f"marked-{ends}.img", files)


def for_sealing(initramfs: Path, scratch: Path, order: Sequence[str]) -> Path:
    """Instead of booting: seal half of the objects on persist one way and then the others the other way."""
    script = (ROOT / "initramfs/init").read_text().partition("busybox env -i")[0]
    script += "python3.13 -I -S -m bench_seal\nbusybox sync\nbusybox poweroff -f\n"
    code = f"ORDER = {tuple(order)!r}\n{_SEAL}"
    files = {"init": (script.encode(), 0o755), "usr/lib/python3.13/bench_seal.py": (code.encode(), 0o644)}
    return with_files(initramfs, scratch / "seal-initramfs.img", files)


def read_sealing(lines: Sequence[str]) -> dict[str, tuple[int, float, float]]:
    """Objects, megabytes and seconds, by way."""
    words = [line.split() for line in lines if line.startswith("@@sealed ")]
    return {way: (int(objects), float(megabytes), float(seconds)) for _, way, objects, megabytes, seconds in words}


def with_files(initramfs: Path, out: Path, files: Mapping[str, tuple[bytes, int]]) -> Path:
    """The initramfs with one more archive behind it."""
    more = io.BytesIO()
    cpio.write(more, [cpio.file(path, data, mode) for path, (data, mode) in files.items()], mtime=0)
    data = initramfs.read_bytes()
    out.write_bytes(data + bytes(-len(data) % 4) + more.getvalue())
    return out


def read_times(lines: Sequence[str]) -> dict[str, float]:
    """Milliseconds since the kernel's clock started, by mark; empty if the boot did not get to its end."""
    times: dict[str, float] = {}
    report = None
    ahead = 0.0
    for line in lines:
        if match := _MARK.match(line):
            at = float(match[1]) * 1e3
            times[match[2] or "run"] = at
            if match[3]:
                ahead = at - int(match[3]) / 1e6
        elif line.startswith("@@report "):
            report = json.loads(line.removeprefix("@@report "))
    if report is not None:
        stages = {stage["name"]: stage["at_ms"] for stage in report["stages"]}
        for warning in report["warnings"]:
            if warning["code"] == "boot.identity":  # a machine that nobody tells who it is warns instead
                stages["identity"] = warning["at_ms"]
        stages["finished"] = report["finished_ms"]
        times |= {name: stages[name] + ahead for name in _AGENT_CLOCK if name in stages}
    return times


def read_modules(lines: Sequence[str]) -> list[str]:
    """Everything that the agent had imported at its end."""
    return next((line.split()[1:] for line in lines if line.startswith("@@imported ")), [])


def phases(times: Mapping[str, float]) -> dict[str, float]:
    """How long each phase took."""
    known = [name for name in PHASES if name in times]
    return {
        name: times[name] - (times[before] if before else 0.0)
        for before, name in zip([None, *known], known, strict=False)
    }
