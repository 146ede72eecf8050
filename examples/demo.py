# SPDX-License-Identifier: MIT
"""`make demo`: the main things powernode can do today, on real files of this machine, next to the tools people use.

Prints what it runs, what came out and how long it took. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
POWERNODE = str(ROOT / ".venv/bin/powernode")
TREE = "/usr/include"  # on every machine that can build the library
FILE_MIB = 256


def show(command: Sequence[str], *, keep: int = 3, runs: int = 1) -> tuple[str, float]:
    """Runs a command as a person would, and prints its first lines and its time, the best of some runs."""
    print(f"$ {' '.join([Path(command[0]).name, *command[1:]])}")
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        best = min(best, time.perf_counter() - start)
    lines = (result.stdout + result.stderr).rstrip().splitlines()
    for line in lines[:keep]:
        print(f"  {line}")
    if len(lines) > keep:
        print(f"  … {len(lines) - keep} more lines")
    print(f"  [{1e3 * best:.0f} ms{f', best of {runs}' if runs > 1 else ''}]")
    if result.returncode:
        sys.exit(f"exit status {result.returncode}")
    return result.stdout, best


def against(what: str, ours: Sequence[str], theirs: Sequence[str], package: str) -> None:
    """Ours and the peer's, who must say the same; best of three runs each, so that both find warm caches."""
    answer, taken = show(ours, runs=3)
    path = shutil.which(theirs[0])
    if path is None:
        print(f"($ {' '.join(theirs)}: not installed here; {package} has it)")
        return
    expected, peer_taken = show([path, *theirs[1:]], runs=3)
    if answer != expected:
        sys.exit(f"the {what} differ: {answer!r} and {expected!r}")
    print(f"  -> the same {what}, {peer_taken / taken:.1f} times as fast")


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def reference_mkcomposefs() -> str:
    """mkcomposefs from PATH, or a copy from the distribution's archive in .cache."""
    copy = ROOT / ".cache/composefs-tools/bin/mkcomposefs"
    found = shutil.which("mkcomposefs")
    if found is None and not copy.exists():
        print("(getting mkcomposefs from the distribution's archive, to compare with)", flush=True)
        subprocess.run([sys.executable, str(ROOT / "tests/support/peers.py")], stdout=subprocess.DEVNULL, check=False)
    return found or str(copy)


def main() -> None:
    mkcomposefs = reference_mkcomposefs()
    show([POWERNODE, "--version"])
    with tempfile.TemporaryDirectory(prefix="powernode-demo-") as name:
        os.chdir(name)
        folder = Path()
        title("The digest the kernel will enforce, of one large file")
        big = folder / "big"
        piece = os.urandom(1 << 20)
        big.write_bytes(b"".join(number.to_bytes(8, "little") + piece[8:] for number in range(FILE_MIB)))
        ours = [POWERNODE, "verity", "digest", str(big)]
        against("digest", ours, ["fsverity", "digest", str(big)], "the package fsverity")

        title(f"A whole tree as one number: {TREE}")
        image = str(folder / "include.cfs")
        store = str(folder / "objects")
        ours = [POWERNODE, "composefs", "create", "--print-digest", TREE, image]
        theirs = [mkcomposefs, "--print-digest", TREE, str(folder / "peer.cfs")]
        against("image digest", ours, theirs, "the package composefs of Debian sid")
        show([POWERNODE, "composefs", "ls", image])
        show([POWERNODE, "composefs", "create", f"--digest-store={store}", TREE, image])
        show([POWERNODE, "composefs", "missing-objects", f"--basedir={store}", image])
        show([POWERNODE, "composefs", "fsck", store])

        title("Two modules, one root, and who owns a path")
        base, site = folder / "base", folder / "site"
        for module, text in ((base, "welcome"), (site, "welcome to shop window 7")):
            (module / "etc").mkdir(parents=True)
            (module / "etc/motd").write_text(text + "\n")
        (base / "etc/hostname").write_text("node\n")
        modules = [f"--module=base,priority=1000,tree={base}", f"--module=site,priority=5000,tree={site}"]
        show([POWERNODE, "composefs", "merge", str(folder / "root.cfs"), "--report", *modules], keep=6)
        show([POWERNODE, "composefs", "explain", "/etc/motd", *modules])
    title("The hash kernels of this machine")
    show([POWERNODE, "verity", "kernels"], keep=12)


if __name__ == "__main__":
    main()
