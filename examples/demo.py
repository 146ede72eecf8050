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
TREE = "/usr/lib/python3"
FILE_MIB = 256


def show(command: Sequence[str], *, keep: int = 3) -> str:
    """Runs a command as a person would, and prints its first lines and its time."""
    print(f"$ {' '.join([Path(command[0]).name, *command[1:]])}")
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    taken = time.perf_counter() - start
    lines = (result.stdout + result.stderr).rstrip().splitlines()
    for line in lines[:keep]:
        print(f"  {line}")
    if len(lines) > keep:
        print(f"  … {len(lines) - keep} more lines")
    print(f"  [{1e3 * taken:.0f} ms]")
    if result.returncode:
        sys.exit(f"exit status {result.returncode}")
    return result.stdout


def peer(name: str, command: Sequence[str], package: str) -> str | None:
    path = shutil.which(command[0])
    if path is None:
        print(f"($ {' '.join(command)}: {name} is not installed here; {package} has it)")
        return None
    return show([path, *command[1:]])


def same(what: str, ours: str, theirs: str | None) -> None:
    if theirs is not None:
        if ours != theirs:
            sys.exit(f"{what} differ: {ours!r} and {theirs!r}")
        print(f"  -> the same {what}")


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def reference_mkcomposefs() -> str:
    """mkcomposefs from PATH, or a copy from the distribution's archive in .cache."""
    if shutil.which("mkcomposefs") is None:
        print("(getting mkcomposefs from the distribution's archive, to compare with)", flush=True)
        subprocess.run([sys.executable, str(ROOT / "tests/support/peers.py")], stdout=subprocess.DEVNULL, check=False)
    return shutil.which("mkcomposefs") or str(ROOT / ".cache/composefs-tools/bin/mkcomposefs")


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
        ours = show([POWERNODE, "verity", "digest", str(big)])
        same("digest", ours, peer("fsverity", ["fsverity", "digest", str(big)], "the package fsverity"))

        title(f"A whole tree as one number: {TREE}")
        image = str(folder / "python3.cfs")
        store = str(folder / "objects")
        create = [POWERNODE, "composefs", "create", "--print-digest", TREE, image]
        ours = show(create)
        theirs = [mkcomposefs, "--print-digest", TREE, str(folder / "peer.cfs")]
        same("image digest", ours, peer("mkcomposefs", theirs, "the package composefs of Debian sid"))
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
