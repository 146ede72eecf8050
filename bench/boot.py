# SPDX-License-Identifier: MIT
"""Booting, phase by phase, and how much sooner the root's init runs than with dracut's initramfs and the same kernel.

    .venv/bin/python bench/boot.py [--quick] [--arch amd64|arm64] [--only tiny,base,native,seal] [--rounds 5]

    tiny     a first and a second boot of a small verified root, and dracut booting the same files from plain ext4
    base     the same two boots of the system-base of the examples, until its init would start
    native   start-up of the trimmed interpreter with everything a boot imports, on this machine (its architecture only)
    seal     the C library against a loop in Python, alternate objects of the base's store in one guest

Everything emulated runs under TCG, whose milliseconds are no real machine's: ratios and shares count. Rounds alternate.
The peer verifies nothing. docs/boot-time.md says what the phases mean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import bootprobe
import interpreter
from harness import Report, run_measures, version_of

from powernode.debian.inputs import Inputs
from powernode.image import qemu
from powernode.image.request import Options
from powernode.image.runtime.interpreter import PACKAGES
from powernode.module.directory import Facts, Module, from_tree, write
from support.debian import CACHE, UnavailableError
from support.dracut import dracut_root, in_a_copy
from vm import _images

_QEMU = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
_BOOTS = {"first": "first boot, seals", "second": "second boot, stamped"}
_TIMEOUT_S = 300
_AS_THE_AGENT = "import gc, os\ngc.disable()\nimport {}\nos._exit(0)"
_STARTS = {"bare": "pass", "closure": _AS_THE_AGENT, "tls": _AS_THE_AGENT.replace("{}", "{}, ssl, http.client")}
_GOALS_MS = {"closure": 35.0, "tls": 60.0}


class Bench:
    def __init__(self, work: Path, arch: str, rounds: int, starts: int) -> None:
        self.work = work
        self.arch = arch
        self.rounds = rounds
        self.starts = starts
        self.report = Report("boot")
        self.report.facts |= {"arch": arch, "qemu": version_of([_QEMU[arch], "--version"])}
        self.closure: list[str] = []
        self._base: tuple[Module, Path] | None = None

    def measure_tiny(self) -> None:
        tree = self._small_tree()
        module = write(self.work / "tiny", self._facts("tiny"), from_tree(tree))
        folder = _images.kernel_initrd(Options(arch=self.arch, modules=(module.directory,), room_mib=32))
        peer = self._peer(tree, folder)
        image = bootprobe.with_marks(folder / "initramfs.cpio.zst", self.work, ends="root")
        runs: dict[str, list[dict[str, float]]] = {"first": [], "second": [], "peer": []}
        for _ in range(self.rounds):
            self._two_boots(folder, image, runs)
            if peer is not None:
                runs["peer"].append(self._boot(peer, "dracut"))
        self._print_phases("small root", runs)
        for name, title in _BOOTS.items():
            for start, what in (("run", "user space until the root's init"), ("", "all, from the kernel's start")):
                ours = [times["root"] - times.get(start, 0.0) for times in runs[name]]
                theirs = [times["root"] - times.get(start, 0.0) for times in runs["peer"]]
                self._compare(f"{title}: {what}", ours, theirs, goal=1.0 if start else None)

    def measure_base(self) -> None:
        module, folder = self._base_image()
        image = bootprobe.with_marks(folder / "initramfs.cpio.zst", self.work, ends="agent")
        runs: dict[str, list[dict[str, float]]] = {"first": [], "second": []}
        for _ in range(max(1, self.rounds // 2)):
            self._two_boots(folder, image, runs)
        self._print_phases(f"{module.facts.name}, {len(list(module.directory.glob('objects/*/*')))} objects", runs)

    def measure_native(self) -> None:
        if self.arch != _images.HOST_ARCH:
            print(f"interpreter: not measured, this machine is no {self.arch}")
            return
        if not self.closure:
            self.rounds, rounds = 1, self.rounds
            self.measure_tiny()
            self.rounds = rounds
        folder = _images.kernel_initrd(Options(arch=self.arch))
        inputs = Inputs(_images.locked(self.arch), CACHE)
        trimmed = interpreter.unpack_initramfs(folder / "initramfs.cpio.zst", self.work / "trimmed")
        untrimmed = interpreter.debian_python([inputs.tree(name) for name in PACKAGES], self.work / "untrimmed")
        found: dict[tuple[str, str], list[float]] = {}
        for turn in range(self.starts + 1):
            for name, text in _STARTS.items():
                code = text.format(", ".join(self.closure))
                for side, root, flags in (("us", trimmed, ["-I", "-S"]), ("peer", untrimmed, ["-I"])):
                    time = interpreter.cpu_ms(root, [*flags, "-c", code])
                    if turn:
                        found.setdefault((name, side), []).append(time)
        titles = {"bare": "bare", "closure": f"all {len(self.closure)} modules of a boot", "tls": "and TLS, HTTP"}
        for name, title in titles.items():
            ours, theirs = found[name, "us"], found[name, "peer"]
            row = self._compare(f"interpreter, processor time: {title}", ours, theirs)
            if goal := _GOALS_MS.get(name):
                row["goal_ms"] = goal
                reached = statistics.median(ours) < goal
                print(f"{'':70} goal {goal:.0f} ms {'reached' if reached else 'MISSED'}")

    def measure_seal(self) -> None:
        _, folder = self._base_image()
        for processors in (1, 2):
            rates: dict[str, list[float]] = {"c": [], "python": []}
            sizes: dict[str, float] = {}
            for turn in range(2):  # who is first changes
                order = ("c", "python") if turn % 2 == 0 else ("python", "c")
                for way, (objects, megabytes, seconds) in self._seal(folder, order, processors).items():
                    rates[way].append(1e3 * seconds / objects)
                    sizes[way] = megabytes / objects
            row = self._compare(
                f"sealing an object, {processors} processor(s), C and Python", rates["c"], rates["python"]
            )
            per_s = {way: 1e3 / statistics.median(times) for way, times in rates.items()}
            row["objects_per_s"] = {way: round(rate) for way, rate in per_s.items()}
            row["mb_per_s"] = {way: round(rate * sizes[way], 2) for way, rate in per_s.items()}
            shown = [f"{per_s[way]:.0f} objects, {per_s[way] * sizes[way]:.1f} MB" for way in rates]
            print(f"{'':30} a second: C {shown[0]}; Python {shown[1]}")

    def _small_tree(self) -> Path:
        tree = self.work / "tree"
        folders = ("bin", "sbin", "lib", "etc", "proc", "sys", "dev", "run", "var", "tmp", "persist")
        for name in (*(f"usr/{name}" for name in folders[:3]), *folders[3:]):
            (tree / name).mkdir(parents=True)
        for name in folders[:3]:
            (tree / name).symlink_to(f"usr/{name}")
        busybox = Inputs(_images.locked(self.arch), CACHE).tree("busybox-static") / "usr/bin/busybox"
        shutil.copy(busybox, tree / "usr/bin/busybox")
        (tree / "usr/sbin/init").write_text(bootprobe.SMALL_INIT)
        (tree / "usr/sbin/init").chmod(0o755)
        (tree / "etc/os-release").write_text("ID=bench\n")  # systemd changes to no root without one
        for path in (tree, *tree.rglob("*")):
            os.utime(path, (0, 0), follow_symlinks=False)
        return tree

    def _facts(self, name: str) -> Facts:
        return Facts(name=name, version="1", architecture=self.arch, effective_priority=1000)

    def _base_image(self) -> tuple[Module, Path]:
        if self._base is None:
            module = _images.system_base(self.arch)
            folder = _images.kernel_initrd(Options(arch=self.arch, modules=(module.directory,)))
            self._base = module, folder
        return self._base

    def _peer(self, tree: Path, folder: Path) -> qemu.Machine | None:
        """dracut's initramfs of the same kernel, and the same files on an ext4 of their own."""
        try:
            root = dracut_root(self.arch)
        except UnavailableError as reason:
            print(f"dracut: not measured: {reason}")
            return None
        ours = json.loads((folder / "build-manifest.json").read_text())["kernel"]["release"]
        if ours != root.release:  # the archive no longer has the lock's kernel, and dracut's root has an old one
            print(f"dracut: not measured: it has {root.release}, our image {ours}")
            return None
        dracut = f"dracut --quiet --force --no-hostonly --zstd /given/dracut.img {root.release}"
        in_a_copy(root, dracut, self.work)
        self.report.facts["peer"] = version_of(["chroot", str(root.path), "dpkg-query", "-W", "dracut"])
        disk = self.work / "root.ext4"
        disk.touch()
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", str(tree), str(disk), "64M"], check=True)
        machine = self._machine(folder, folder / "initramfs.cpio.zst", disk, throw_away=True)
        cmdline = machine.cmdline.replace("powernode.boot=1", "root=/dev/vda")
        return replace(machine, initramfs=self.work / "dracut.img", cmdline=cmdline)

    def _machine(self, folder: Path, image: Path, disk: Path, *, throw_away: bool = False) -> qemu.Machine:
        machine = _images.machine(folder, self.arch, append="quiet")
        return replace(machine, initramfs=image, disks=(qemu.Disk(path=disk, throw_away=throw_away),))

    def _two_boots(self, folder: Path, image: Path, runs: Mapping[str, list[dict[str, float]]]) -> None:
        disk = self.work / "persist.img"
        disk.unlink(missing_ok=True)
        qemu.copy_disk(folder / "persist.img", disk)
        for name in _BOOTS:
            runs[name].append(self._boot(self._machine(folder, image, disk), name))

    def _boot(self, machine: qemu.Machine, what: str) -> dict[str, float]:
        booted = _images.boot(machine, timeout_s=_TIMEOUT_S, until="Entering emergency mode")
        times = bootprobe.read_times(booted.lines)
        if not {"run", "root"} <= set(times) and not {"run", "agent"} <= set(times):
            raise SystemExit(f"the {what} boot did not get to its end:\n" + "\n".join(booted.lines[-40:]))
        if found := bootprobe.read_modules(booted.lines):
            self.closure = self.closure or [
                name for name in found if name.startswith("powernode.") and not name.endswith("__main__")
            ]
        return times

    def _seal(self, folder: Path, order: Sequence[str], processors: int) -> dict[str, tuple[int, float, float]]:
        disk = self.work / "seal.img"
        disk.unlink(missing_ok=True)
        qemu.copy_disk(folder / "persist.img", disk)
        image = bootprobe.for_sealing(folder / "initramfs.cpio.zst", self.work, order)
        machine = self._machine(folder, image, disk)
        booted = _images.boot(replace(machine, options=("-smp", str(processors))), timeout_s=_TIMEOUT_S)
        found = bootprobe.read_sealing(booted.lines)
        if set(found) != set(order):
            raise SystemExit("the guest did not seal:\n" + "\n".join(booted.lines[-40:]))
        return found

    def _compare(
        self, title: str, ours: Sequence[float], theirs: Sequence[float], goal: float | None = None
    ) -> dict[str, object]:
        """A row in milliseconds; the ratio is the median of the pairwise ratios."""
        row: dict[str, object] = {"title": title, "unit": "ms", "us": _figures(ours)}
        line = f"{title:62} {statistics.median(ours):9.1f} ms"
        if theirs:
            ratio = statistics.median(peer / us for us, peer in zip(ours, theirs, strict=True))
            row |= {"peer": _figures(theirs), "ratio": round(ratio, 2), "goal": goal}
            verdict = "" if goal is None else f"  goal {goal:.1f}x {'reached' if ratio > goal else 'MISSED'}"
            line += f" {statistics.median(theirs):9.1f} ms {ratio:6.2f}x{verdict}"
        self.report.rows.append(row)
        print(line, flush=True)
        return row

    def _print_phases(self, title: str, runs: Mapping[str, list[dict[str, float]]]) -> None:
        found = {name: [bootprobe.phases(times) for times in runs[name]] for name in _BOOTS}
        print(f"\n{title:44} {'first':>10} {'second':>10}   ms")
        rows: dict[str, dict[str, float]] = {}
        for phase, what in bootprobe.PHASES.items():
            if phase in found["first"][0]:
                rows[phase] = {
                    name: round(statistics.median(each.get(phase, 0.0) for each in runs_of), 1)
                    for name, runs_of in found.items()
                }
                print(f"  {what:42} {rows[phase]['first']:10.1f} {rows[phase]['second']:10.1f}")
        self.report.rows.append(
            {"title": f"phases, {title}", "unit": "ms", "runs": len(found["first"]), "phases": rows}
        )
        print(flush=True)


def _figures(values: Sequence[float]) -> dict[str, object]:
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
        "runs": len(values),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds, and no base")
    parser.add_argument("--arch", choices=("amd64", "arm64"), default=_images.HOST_ARCH)
    parser.add_argument("--only")
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    rounds = options.rounds or (2 if options.quick else 5)
    with tempfile.TemporaryDirectory(prefix="powernode-bench-") as folder:
        bench = Bench(Path(folder), options.arch, rounds, 15 if options.quick else 60)
        print(f"boot, {options.arch} under TCG on {bench.report.facts['cpu']}")
        run_measures(bench, options.only or ("tiny,native" if options.quick else "tiny,base,native,seal"))
        bench.report.write()


if __name__ == "__main__":
    main()
