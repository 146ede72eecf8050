# SPDX-License-Identifier: MIT
"""The two numbers, of real files of this machine, next to the tools people use today."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from shell import POWERNODE, ROOT, against, show, title

TREE = "/usr/include"  # on every machine that can build the library
FILE_MIB = 256


def reference_mkcomposefs() -> str:
    """mkcomposefs from PATH, or a copy from the distribution's archive in .cache."""
    copy = ROOT / ".cache/composefs-tools/bin/mkcomposefs"
    found = shutil.which("mkcomposefs")
    if found is None and not copy.exists():
        print("(getting mkcomposefs from the distribution's archive, to compare with)", flush=True)
        subprocess.run([sys.executable, str(ROOT / "tests/support/peers.py")], stdout=subprocess.DEVNULL, check=False)
    return found or str(copy)


def show_digests() -> None:
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
