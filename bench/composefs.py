# SPDX-License-Identifier: MIT
"""composefs: how much faster than mkcomposefs and composefs-info, on the trees and texts of docs/performance.md.

    .venv/bin/python bench/composefs.py [--only small,usr,debian,store,dump,read] [--runs 5] [--debian DIR] [--dir DIR]

`debian` needs a Debian root: --debian names one, else mmdebstrap makes one if it is installed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import ROOT, Report, header, run_measures

from powernode import native
from powernode.composefs import image
from support.peers import ensure_tools

POWERNODE = str(ROOT / ".venv/bin/powernode")
FILES = 100_000


def small_files(root: Path, count: int) -> None:
    """Sizes log-uniform from 1 B to 16 KiB, 5 % up to 64 KiB; 100 files a directory, some links and xattrs."""
    chance = random.Random(20261121)
    noise = chance.randbytes(1 << 20)
    for number in range(count):
        folder = root / f"d{number // 10_000:02}" / f"e{number // 100 % 100:02}"
        if number % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"file-{number:06}.dat"
        if chance.random() < 0.02:
            path.symlink_to(f"file-{number - 1:06}.dat")
            continue
        size = chance.randint(16384, 65536) if chance.random() < 0.05 else int(2 ** chance.uniform(0, 14))
        start = chance.randrange(len(noise) - size)
        path.write_bytes(noise[start : start + size])
        if chance.random() < 0.005:
            os.setxattr(path, "user.origin", f"bench-{number % 7}".encode())


class Bench:
    def __init__(self, work: Path, runs: int, debian: str | None) -> None:
        self.work = work
        self.runs = runs
        self.debian = debian
        self.report = Report("composefs")
        self.mkcomposefs = os.environ["POWERNODE_MKCOMPOSEFS"]
        self.info = os.environ["POWERNODE_COMPOSEFS_INFO"]
        self.report.facts |= {"library": native.reason(), "peer": self.mkcomposefs}
        self._small: Path | None = None

    @property
    def small_tree(self) -> Path:
        if self._small is None:
            self._small = self.work / "small"
            small_files(self._small, FILES)
            os.sync()  # or writing it back would be measured too
        return self._small

    def create(self, title: str, tree: str, goal: float, runs: int | None = None) -> None:
        ours, theirs = str(self.work / "ours.cfs"), str(self.work / "theirs.cfs")
        self.report.compare(
            title,
            us=[POWERNODE, "composefs", "create", "--threads=2", "--print-digest", tree, ours],
            peer=[self.mkcomposefs, "--threads=2", "--print-digest", tree, theirs],
            goal=goal,
            runs=runs or self.runs,
        )
        if Path(ours).read_bytes() != Path(theirs).read_bytes():
            sys.exit(f"{title}: the images differ")

    def measure_small(self) -> None:
        self.create(f"create, {FILES:,} small files", str(self.small_tree), 3.4)

    def measure_usr(self) -> None:
        self.create("create, /usr of this machine", "/usr", 2.8, runs=3)

    def measure_debian(self) -> None:
        root = self.debian
        if root is None:
            tool = shutil.which("mmdebstrap")
            if tool is None:
                print("create, a Debian minbase: not measured, mmdebstrap is not installed")
                return
            root = str(self.work / "debian")
            subprocess.run([tool, "--variant=minbase", "--quiet", "bookworm", root], check=True)
        self.create("create, a Debian minbase", root, 2.2)

    def measure_store(self) -> None:
        """A new store each time, on the filesystem of the working directory.

        Old ones are removed at the end only: ext4 does not give an inode away again for minutes after its file was
        removed, and who creates files meanwhile pays for finding another, three times as much as for the rest.
        """
        store = self.work / "store"
        olds = self.work / "old-stores"
        olds.mkdir()

        def fresh() -> None:
            if store.exists():
                store.rename(olds / str(len(list(olds.iterdir()))))
            os.sync()

        tree, out = str(self.small_tree), str(self.work / "store.cfs")
        self.report.compare(
            f"create --digest-store=NEW, {FILES:,} small files",
            us=[POWERNODE, "composefs", "create", "--threads=2", f"--digest-store={store}", tree, out],
            peer=[self.mkcomposefs, "--threads=2", f"--digest-store={store}", tree, out],
            goal=5.0,
            runs=3,
            before=fresh,
        )
        shutil.rmtree(olds)
        shutil.rmtree(store)

    def _texts(self) -> tuple[Path, Path, bytes]:
        cfs, text = self.work / "read.cfs", self.work / "read.dump"
        subprocess.run([POWERNODE, "composefs", "create", str(self.small_tree), str(cfs)], check=True)
        data = cfs.read_bytes()
        text.write_bytes(image.dump(data))
        return cfs, text, data

    def measure_dump(self) -> None:
        _, text, _ = self._texts()
        lines, out = text.read_bytes(), self.work / "from-dump.cfs"
        peer = [self.mkcomposefs, "--from-file", str(text), str(out)]
        count = lines.count(b"\n")
        title = f"dump text -> image, {count:,} lines"
        self.report.compare(
            f"{title}, call", us=lambda: image.from_dump(lines), peer=peer, goal=3.2, cpus=1, runs=self.runs
        )
        command = [POWERNODE, "composefs", "create", "--from-file", str(text), str(out)]
        self.report.compare(f"{title}, command", us=command, peer=peer, goal=3.2, cpus=1, runs=self.runs)

    def measure_read(self) -> None:
        cfs, _, data = self._texts()
        calls: dict[str, tuple[str, Callable[[], object]]] = {
            "dump": ("dump", lambda: image.dump(data)),
            "ls": ("ls", lambda: image.listing(data)),
            "objects": ("objects", lambda: image.objects(data)),
            "image digest": ("measure-file", lambda: image.digest(data)),
        }
        for title, (verb, call) in calls.items():
            peer = [self.info, verb, str(cfs)]
            self.report.compare(f"{title}, {FILES:,} files, call", us=call, peer=peer, goal=4.0, cpus=1, runs=self.runs)
        for verb in ("dump", "ls", "objects"):
            command, peer = [POWERNODE, "composefs", verb, str(cfs)], [self.info, verb, str(cfs)]
            self.report.compare(f"{verb}, {FILES:,} files, command", us=command, peer=peer, cpus=1, runs=self.runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="small,debian,dump,read,store,usr")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--debian")
    parser.add_argument("--dir", help="where to work; a filesystem on disk (default: bench/results)")
    options = parser.parse_args()
    ensure_tools()
    parent = Path(options.dir or ROOT / "bench/results")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        bench = Bench(Path(folder), options.runs, options.debian)
        header(f"composefs, {bench.report.facts['cpu']}; the last columns are the memory of us / the peer")
        run_measures(bench, options.only)
        bench.report.write()


if __name__ == "__main__":
    main()
