# SPDX-License-Identifier: MIT
"""From a lock to a machine: a base system, an image, and a boot in which the kernel proves every file.

Nothing here is emulated but the machine that boots, and the installation of the other architecture's packages.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from shell import POWERNODE, ROOT, run, show, title

FOLDER = Path(".cache/demo")  # relative to the checkout, so that what is printed can be typed
INSTANCE = "6f1c2b1e-97d5-4b1b-9d0a-3b7e9d0c8a11"
WORTH_SEEING = re.compile(r"powernode: |Reached target multi-user|Welcome to")


def show_machine(arch: str) -> None:
    """The base is kept for the next time; a lock the archive has moved away from is renewed beside it."""
    title(f"A machine of its own: {arch}")
    os.environ.setdefault("POWERNODE_CACHE", str(ROOT / ".cache"))
    lock = _usable_lock(arch)
    base = FOLDER / f"system-base-{arch}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if base.exists():
        print(f"({base} is there from the last time; remove it to see it built)")
    else:
        print(
            "(a Debian with systemd, installed from the locked packages: half a minute, for another architecture two)"
        )
        show([POWERNODE, "image", "base", "--arch", arch, "--lock", str(lock), str(base)])
    images = FOLDER / "images"
    options = ["--arch", arch, "--variant", "kernel-initrd", "--lock", str(lock), "--modules", str(base)]
    show([POWERNODE, "image", "build", *options, "--out", str(images)], keep=12)
    _boot(images / "kernel-initrd" / arch)


def _boot(folder: Path) -> None:
    command = [POWERNODE, "image", "boot", str(folder), "--identity", f"instance_uuid={INSTANCE}"]
    command += ["--expect", "Reached target multi-user.target", "--timeout", "400"]
    print(f"$ {' '.join(['powernode', *command[1:]])}", flush=True)
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line).rstrip()
            if WORTH_SEEING.search(text) and "ommand line:" not in text:
                print(f"  {text}", flush=True)
    if process.returncode:
        sys.exit(f"exit status {process.returncode}")
    print(f"  [{time.perf_counter() - start:.0f} s, emulated]")


def _usable_lock(arch: str) -> Path:
    """The committed lock, or one renewed here when the archive no longer serves what it pins."""
    committed = Path("initramfs/lock") / f"{arch}.json"
    renewed = FOLDER / f"lock-{arch}.json"
    FOLDER.mkdir(parents=True, exist_ok=True)
    fetched = run([POWERNODE, "image", "fetch", "--arch", arch, "--lock", str(committed)])
    if fetched.returncode == 0:
        return committed
    if "debian.input.gone" not in fetched.stderr:
        sys.exit(fetched.stderr)
    show([POWERNODE, "image", "lock", "--arch", arch, "--out", str(renewed)])
    return renewed
