# SPDX-License-Identifier: MIT
"""fs-verity: how much faster than the fsverity tool, and how far each kernel gets on data in the cache.

.venv/bin/python bench/verity.py [--size-mib 1024] [--runs 7]
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import ROOT, Report, header, once, version_of

import powernode
from powernode import native, verity
from powernode.verity import Params, kernels

POWERNODE = str(ROOT / ".venv/bin/powernode")


def make_file(path: str, mib: int) -> None:
    piece = os.urandom(1 << 20)
    with open(path, "wb") as file:
        for number in range(mib):
            file.write(number.to_bytes(8, "little") + piece[8:])
    os.sync()  # or writing it back would be measured too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    compileall.compile_dir(Path(powernode.__file__).parent, quiet=1)  # else the start would measure the compiler
    fsverity = shutil.which("fsverity") or sys.exit("the peer is missing: apt-get install fsverity")
    report = Report("verity")
    report.facts |= {"peer": version_of([fsverity, "--version"]), "library": native.reason()}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        big, empty = f"{folder}/big", f"{folder}/empty"
        make_file(big, options.size_mib)
        Path(empty).touch()
        peer = [fsverity, "digest", big]
        size = f"{options.size_mib} MiB"
        header(f"fs-verity SHA-256, {report.facts['peer']}, {report.facts['cpu']}")
        for cpus, call_goal, command_goal in ((1, 3.1, 2.6), (2, 5.8, 4.6)):
            us = lambda cpus=cpus: verity.digest_file(big, threads=cpus)  # noqa: E731
            report.compare(f"{size}, call, {cpus} CPU", us=us, peer=peer, goal=call_goal, cpus=cpus, runs=options.runs)
            command = [POWERNODE, "verity", "digest", f"--jobs={cpus}", big]
            report.compare(
                f"{size}, command, {cpus} CPU", us=command, peer=peer, goal=command_goal, cpus=cpus, runs=options.runs
            )
        sha512 = [fsverity, "digest", "--hash-alg=sha512", big]
        report.compare(
            f"{size}, SHA-512, call, 1 CPU",
            us=lambda: verity.digest_file(big, Params("sha512"), threads=1),
            peer=sha512,
            cpus=1,
            runs=options.runs,
        )
        python = [str(ROOT / ".venv/bin/python"), "-I", "-c", "pass"]
        # The peer of the start is the interpreter itself: at most 1.5 times its time is a ratio of at least 1/1.5.
        report.compare(
            "start: an empty file against a bare interpreter",
            us=[POWERNODE, "verity", "digest", empty],
            peer=python,
            goal=1 / 1.5,
            cpus=1,
            runs=max(30, options.runs),
        )
    in_cache(report)
    report.write()


def in_cache(report: Report) -> None:
    """Plain hashes of 4 KiB blocks that stay in the cache, one core, every kernel."""
    print("\nkernels, 192 KiB of 4 KiB blocks in the cache, one core")
    rates: list[kernels.Kernel] = []
    once(lambda: rates.extend(kernels.race(192)), {min(os.sched_getaffinity(0))})
    for kernel in rates:
        if not kernel.usable:
            print(f"  {kernel.name:50} not on this CPU")
        elif kernel.in_use:
            report.rate(
                kernel.name, kernel.bytes_per_second / 1e9, "GB/s", 4.2 if kernel.algorithm == "sha256" else 2.5
            )
        else:
            print(f"  {kernel.name:50} {kernel.bytes_per_second / 1e9:9.2f} GB/s")
    report.facts["kernels_gb_per_s"] = {k.name: round(k.bytes_per_second / 1e9, 3) for k in rates if k.usable}


if __name__ == "__main__":
    main()
