# SPDX-License-Identifier: MIT
"""Modules: packing a tree into a layer, against `tar | zstd` and the tools that make images.

    .venv/bin/python bench/module.py [--only pack,encode,plain,buildah,umoci,transfer] [--runs 5] [--tree DIR]

The tree is some 500 MB in 20,000 files of this machine's /usr, chosen by the hashes of their paths; --tree names
another. Every side writes to the same filesystem, at zstd's level 3, with two threads. `pack` starts where
`powernode module build` does, at a module directory; `encode` adds making that, objects and all. `transfer` moves the
artifact to and from Debian's docker-registry on this machine, whole commands on both sides, skopeo's in its root.
Every run writes to new folders, and nothing is removed before the end: for five minutes after, ext4 looks at every
inode that it has freed before it makes a file, which costs whoever makes many of them several seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import ROOT, Report, header, run_measures, version_of

from powernode import native
from powernode.module import directory, layer
from support._oci_modules import TAG, make
from support.debian import UnavailableError
from support.oci_peers import peers, registry

FILES, BYTES, LARGEST = 20_000, 500_000_000, 50_000_000
SLACK = 8_000_000  # by how much the first files may be ahead of the average
TIME = 1_700_000_000
LEVEL = 3
POWERNODE = str(ROOT / ".venv/bin/powernode")
UNVERIFIED = "--insecure-unverified"
FACTS = directory.Facts(name="bench", version="1.0.0", architecture="all", effective_priority=500_000)


def choose_files(source: Path) -> list[tuple[str, int]]:
    """Files of `source` in an order that says nothing of their size or kind, as many as fit."""
    found = []
    for folder, _, names in os.walk(source):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.isfile(path):
                found.append((hashlib.sha256(os.fsencode(path)).digest(), path, os.path.getsize(path)))
    chosen: list[tuple[str, int]] = []
    total = 0
    for _, path, size in sorted(found):
        if size <= LARGEST and total + size <= BYTES * (len(chosen) + 1) // FILES + SLACK:
            chosen.append((path, size))
            total += size
        if len(chosen) == FILES:
            break
    return chosen


def copy_files(source: Path, target: Path) -> int:
    """The tree to measure with, all of its times whole seconds; returns how many bytes it holds."""
    chosen = choose_files(source)
    for path, _ in chosen:
        copy = target / Path(path).relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for folder, _, names in os.walk(target):
        for name in [".", *names]:
            os.utime(os.path.join(folder, name), (TIME, TIME))
    return sum(size for _, size in chosen)


class Bench:
    def __init__(self, work: Path, runs: int, tree: str | None) -> None:
        self.work = work
        self.runs = runs
        self.tree = Path(tree) if tree else work / "tree"
        self.report = Report("module")
        size = copy_files(Path("/usr"), self.tree) if tree is None else 0
        self.title = f"{size // 1_000_000} MB" if size else str(tree)
        library = native.library()
        self.report.facts |= {
            "library": native.reason(),
            "libzstd": library.call("pn_zstd_version") if library else "zstandard",
            "tar": version_of(["tar", "--version"]),
            "zstd": version_of(["zstd", "--version"]),
        }
        self.module = directory.write(work / "module", FACTS, directory.from_tree(self.tree))
        os.sync()  # or writing it back would be measured too
        self.peer = f"tar -C {self.tree} -cf - . | zstd -q -T2 -{LEVEL} -f -o {work}/peer.tar.zst"

    def tar_and_zstd(self) -> None:
        subprocess.run(["sh", "-c", self.peer], check=True)

    def write_layer(self, module: directory.Module) -> None:
        with open(self.work / "layer", "wb") as out:
            layer.write_layer(module, out, level=LEVEL, threads=2)

    def measure_pack(self) -> None:
        """The goal: no slower, though the layer comes with four digests of everything."""
        title = f"pack {self.title}, tar | zstd -T2 -{LEVEL}"
        self.report.compare(
            title, us=lambda: self.write_layer(self.module), peer=self.tar_and_zstd, goal=1.0, runs=self.runs
        )
        sizes = [os.path.getsize(self.work / name) for name in ("layer", "peer.tar.zst")]
        self.report.rows[-1] |= {"us_bytes": sizes[0], "peer_bytes": sizes[1]}
        print(f"{'':52} {sizes[0] / 1e6:9.1f} MB {sizes[1] / 1e6:9.1f} MB")

    def measure_encode(self) -> None:
        numbers = itertools.count()

        def encode_and_pack() -> None:
            again = self.work / f"again{next(numbers)}"
            self.write_layer(directory.write(again, FACTS, directory.from_tree(self.tree)))

        self.report.compare(
            f"encode and pack {self.title}, tar | zstd -T2 -{LEVEL}",
            us=encode_and_pack,
            peer=self.tar_and_zstd,
            runs=self.runs,
        )

    def measure_plain(self) -> None:
        """What the C library is worth: the same bytes by Python and zstandard."""

        def write_plainly() -> None:
            code = (
                "import sys; from pathlib import Path; from powernode.module import directory, layer\n"
                f"layer.write_layer(directory.read(Path(sys.argv[1])), open(sys.argv[2], 'wb'), level={LEVEL})"
            )
            command = [sys.executable, "-c", code, str(self.work / "module"), str(self.work / "layer")]
            subprocess.run(command, check=True, env=os.environ | {"POWERNODE_NATIVE": "off"})

        self.report.compare(
            f"pack {self.title}, our own plain Python",
            us=lambda: self.write_layer(self.module),
            peer=write_plainly,
            runs=1,
        )

    def measure_buildah(self) -> None:
        """buildah makes an image of the tree and writes it as zstd:chunked: what others do for the same artifact."""
        try:
            tools = peers()
        except UnavailableError as error:
            print(f"buildah: not measured, {error}")
            return
        if not self.tree.is_relative_to(self.work):
            print("buildah: not measured, it sees only the tree that is made here")
            return
        script = (
            "c=$(buildah from scratch); buildah copy -q $c tree / >/dev/null; buildah commit -q $c bench >/dev/null; "
            f"buildah push -q --compression-format zstd:chunked --compression-level {LEVEL} --force-compression bench "
            "oci:image:bench; buildah rm $c >/dev/null; buildah rmi -f bench >/dev/null"
        )
        self.report.compare(
            f"pack {self.title}, buildah to zstd:chunked",
            us=lambda: self.write_layer(self.module),
            peer=lambda: tools.run("sh", "-euc", script, work=self.work, seconds=600),
            runs=min(self.runs, 3),
            before=lambda: shutil.rmtree(self.work / "image", ignore_errors=True),
        )

    def measure_umoci(self) -> None:
        """umoci turns the tree into a layer of gzip, the only one it writes."""
        try:
            tools = peers()
        except UnavailableError as error:
            print(f"umoci: not measured, {error}")
            return
        if not self.tree.is_relative_to(self.work):
            print("umoci: not measured, it sees only the tree that is made here")
            return
        script = "umoci init --layout image; umoci new --image image:bench; umoci insert --image image:bench tree /"
        self.report.compare(
            f"pack {self.title}, umoci insert",
            us=lambda: self.write_layer(self.module),
            peer=lambda: tools.run("sh", "-euc", script, work=self.work, seconds=600),
            runs=min(self.runs, 3),
            before=lambda: shutil.rmtree(self.work / "image", ignore_errors=True),
        )

    def measure_transfer(self) -> None:
        """A new repository for every push, a new folder for every pull; then what a pull of nothing new costs."""
        try:
            tools = peers()
        except UnavailableError as error:
            print(f"transfer: not measured, {error}")
            return
        for name in ("made", "storage", "pulled", "copied", "unpacked"):
            (self.work / name).mkdir()
        layout, numbers = make(self.work / "made", self.tree).folder, itertools.count()
        with registry(tools, self.work / "storage") as address:

            def run(*words: str) -> None:
                tools.run(*words, work=self.work, seconds=600)

            def skopeo(*words: str) -> None:
                run("skopeo", "copy", "--all", "--preserve-digests", *words)

            def new() -> str:
                return f"{address}/bench{next(numbers)}/redis:{TAG}"

            def target(kind: str) -> str:
                return str(self.work / kind / str(next(numbers)))

            def pull(option: str) -> str:
                return powernode("module", "pull", option, UNVERIFIED, there, target("pulled"))

            def copy_and_unpack() -> None:
                image = f"{target('copied')}:{TAG}"
                run("skopeo", "copy", "--src-tls-verify=false", f"docker://{there}", f"oci:{image}")
                run("umoci", "unpack", "--image", image, target("unpacked"))

            self.report.compare(
                f"push {self.title}, skopeo copy",
                us=lambda: powernode("module", "push", str(layout), new()),
                peer=lambda: skopeo("--dest-tls-verify=false", f"oci:{layout}:{TAG}", f"docker://{new()}"),
                runs=min(self.runs, 3),
            )
            there = new()
            powernode("module", "push", str(layout), there)
            self.report.compare(
                f"pull {self.title} to a layout, skopeo copy",
                us=lambda: pull("--layout"),
                peer=lambda: skopeo("--src-tls-verify=false", f"docker://{there}", f"oci:{target('copied')}:{TAG}"),
                runs=min(self.runs, 3),
            )
            self.report.compare(
                f"pull {self.title} to files, skopeo and umoci",
                us=lambda: pull("--arch=amd64"),
                peer=copy_and_unpack,
                runs=min(self.runs, 3),
            )
            command = ["module", "pull", "--arch=amd64", UNVERIFIED, "--json", there, target("pulled")]
            powernode(*command)
            again = powernode(*command)
            self.report.rows.append({"title": "pull of what is there", "said": json.loads(again)})
            print(f"pull of what is there: {again.strip()[:400]}")


def powernode(*words: str) -> str:
    return subprocess.run([POWERNODE, *words], check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="pack,encode,plain,buildah,umoci,transfer")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tree")
    parser.add_argument("--dir", help="where to work; a filesystem on disk (default: bench/results)")
    options = parser.parse_args()
    parent = Path(options.dir or ROOT / "bench/results")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        bench = Bench(Path(folder), options.runs, options.tree)
        header(f"modules, {bench.report.facts['cpu']}")
        run_measures(bench, options.only)
        bench.report.write()


if __name__ == "__main__":
    main()
