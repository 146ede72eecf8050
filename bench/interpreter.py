# SPDX-License-Identifier: MIT
"""Start-up of the trimmed interpreter on this machine, in the unpacked initramfs, against Debian's untrimmed one.

Times are the processor time of the process (user and system), which other work on the machine disturbs least.

    trimmed = unpack_initramfs(image, scratch / "trimmed")
    untrimmed = debian_python(trees, scratch / "untrimmed")
    cpu_ms(trimmed, ["-I", "-S", "-c", "pass"])
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import ROOT

from powernode.archive import cpio
from powernode.image.pack import unpack

__all__ = ["cpu_ms", "debian_python", "unpack_initramfs"]

_PROGRAM = "/usr/bin/python3.13"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8"}


def unpack_initramfs(image: Path, root: Path) -> Path:
    for entry in unpack(image.read_bytes()):
        _make(root / entry.path, entry)
    return root


def _make(path: Path, entry: cpio.Entry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(entry.mode):
        path.mkdir(exist_ok=True)
    elif stat.S_ISLNK(entry.mode):
        path.symlink_to(os.fsdecode(entry.data))
    elif stat.S_ISREG(entry.mode):
        path.write_bytes(entry.data)
        path.chmod(entry.mode & 0o7777)


def debian_python(trees: Iterable[Path], root: Path) -> Path:
    """Debian's packages as they are, our package as sources; every module has its .pyc."""
    for tree in trees:
        shutil.copytree(tree, root, symlinks=True, dirs_exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists():
            (root / "usr" / name).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(f"usr/{name}")
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/powernode", root / "usr/lib/python3.13/powernode", ignore=skipped)
    compile_all = [_PROGRAM, "-I", "-m", "compileall", "-q", "/usr/lib/python3.13"]
    subprocess.run(["chroot", str(root), *compile_all], check=False, capture_output=True, env=_ENVIRONMENT)
    return root


def cpu_ms(root: Path, arguments: Sequence[str]) -> float:
    """Processor time of one start in `root`."""
    pid = os.fork()
    if pid == 0:
        try:
            os.chroot(root)
            os.chdir("/")
            os.execve(_PROGRAM, [_PROGRAM, *arguments], _ENVIRONMENT)
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(
            f"{' '.join(arguments)[:200]} in {root} failed with status {os.waitstatus_to_exitcode(status)}"
        )
    return 1e3 * (usage.ru_utime + usage.ru_stime)
