# SPDX-License-Identifier: MIT
"""kernel-initrd: how much faster than dracut on the same kernel, and how much smaller, for both architectures.

    .venv/bin/python bench/image.py [--quick] [--runs 5] [--only amd64,arm64]

Ours is the whole command: plan, initramfs, kernel, manifest, checksums.

    from inputs     downloaded and unpacked packages are there, and nothing else: our C library is compiled first
    and a library   the compiled library is there too, so both sides only gather and compress what exists
    rebuild         everything of the last build is there; the node's configuration is another one each time

Dracut runs in a root of its own with Debian trixie, with few modules: nothing of LVM, RAID, encryption or network is
installed there.

Debian's way to an arm64 initramfs from amd64 is dracut under qemu-user, so that is the peer named `emulated`: run once,
because it takes minutes. The other one is dracut run natively, for amd64: what an arm64 machine of this speed would do.
Root is needed, for the root dracut runs in.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import ROOT, Report, header, once, version_of

from support.debian import CACHE, UnavailableError
from support.dracut import DracutRoot, dracut_root, plain_dracut

POWERNODE = str(ROOT / ".venv/bin/powernode")
HOST = "amd64"
GOAL = 2.0
_OUT = "/tmp/powernode-bench"
_KEPT = ("debs", "trees", "apt")


def silent(command: Sequence[str]) -> Callable[[], None]:
    """Runs it; both sides say on the standard error what they do."""

    def run() -> None:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(f"{' '.join(command)}\nfailed with status {result.returncode}:\n{result.stderr[-2000:]}")

    return run


class Bench:
    """`work` gets a cache with the tests' downloads in it and builds of its own."""

    def __init__(self, work: Path, runs: int) -> None:
        self.work = work
        self.runs = runs
        self.report = Report("image")
        self.cache = work / "cache"
        self.cache.mkdir()
        for name in _KEPT:
            (CACHE / name).mkdir(parents=True, exist_ok=True)
            (self.cache / name).symlink_to(CACHE / name)
        os.environ["POWERNODE_CACHE"] = str(self.cache)
        self.config = work / "config.json"
        self.config.write_text("{}")
        self._seconds = itertools.count(10)
        self.peer = dracut_root(HOST)
        self.report.facts |= {
            "peer": version_of(["chroot", str(self.peer.path), "dracut", "--version"]),
            "peer_options": "--no-hostonly --zstd",
            "kernel_in_image": self.peer.release,
        }

    def build(self, arch: str) -> Callable[[], None]:
        out = str(self.work / "images")
        build = [POWERNODE, "image", "build", "--arch", arch, "--variant", "kernel-initrd", "--kernel", "kernel-cloud"]
        return silent([*build, "--config", str(self.config), "--out", out])

    def forget(self) -> None:
        """Leave packages, unpacked and not, and nothing that a build made of them."""
        self._leave(*_KEPT)

    def forget_frames(self) -> None:
        self._leave(*_KEPT, "native")

    def _leave(self, *names: str) -> None:
        for path in self.cache.iterdir():
            if path.name not in names:
                shutil.rmtree(path)

    def change(self) -> None:
        """Another configuration than any before: its part of the initramfs is new."""
        self.config.write_text(json.dumps({"recovery": {"seconds": next(self._seconds)}}))

    def measure(self, arch: str) -> None:
        ours, peer = self.build(arch), silent(plain_dracut(self.peer, _OUT))
        against = f"dracut native {HOST}"
        for title, goal, before in (
            ("from inputs", GOAL, self.forget),
            ("and a library", GOAL, self.forget_frames),
            ("rebuild", None, self.change),
        ):
            name = f"{arch} {title}, {against}"
            self.report.compare(name, us=ours, peer=peer, goal=goal, runs=self.runs, before=before)
        self.sizes(arch, self.peer)

    def emulated(self, arch: str) -> None:
        """Once each, without warming up."""
        try:
            root = dracut_root(arch)
        except UnavailableError as error:
            print(f"{arch}: dracut for it cannot be run here: {error}")
            return
        cpus = os.sched_getaffinity(0)
        self.forget()
        us, peer = (once(runner, cpus).seconds for runner in (self.build(arch), silent(plain_dracut(root, _OUT))))
        title = f"{arch} from inputs, dracut emulated, n=1"
        row = {"title": title, "runs": 1, "us_ms": round(1e3 * us), "peer_ms": round(1e3 * peer)}
        self.report.rows.append({**row, "ratio": round(peer / us, 2), "goal": GOAL})
        print(f"{title:52} {1e3 * us:9.2f} ms {1e3 * peer:9.2f} ms {peer / us:6.2f}x  goal {GOAL}x", flush=True)
        self.sizes(arch, root)

    def sizes(self, arch: str, root: DracutRoot) -> None:
        folder = self.work / "images/kernel-initrd" / arch
        ours = (folder / "initramfs.cpio.zst").stat().st_size
        theirs = (root.path / _OUT.lstrip("/")).stat().st_size
        built = json.loads((folder / "build-manifest.json").read_text())
        if built["kernel"]["release"] != root.release:
            sys.exit(f"not the same kernel: {built['kernel']['release']} and {root.release}")
        self.report.facts[f"sizes_{arch}_against_{root.arch}"] = {
            "initramfs_bytes": ours,
            "dracut_bytes": theirs,
            "components": built["components"],
        }
        title = f"{arch} {ours / 1e6:.1f} MB, dracut for {root.arch} {theirs / 1e6:.1f} MB"
        self.report.rate(title, theirs / ours, "times smaller", 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run of each and no emulation")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="amd64,arm64")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=CACHE) as folder:
        try:
            bench = Bench(Path(folder), 1 if options.quick else options.runs)
        except UnavailableError as error:
            sys.exit(f"the peer is missing: {error}")
        header(f"kernel-initrd, {bench.report.facts['peer']}, kernel {bench.peer.release}")
        for arch in options.only.split(","):
            bench.measure(arch)
            if arch != HOST and not options.quick:
                bench.emulated(arch)
        bench.report.write()


if __name__ == "__main__":
    main()
