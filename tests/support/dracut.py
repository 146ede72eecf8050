# SPDX-License-Identifier: MIT
"""dracut as Debian has it, in a root of its own that mmdebstrap makes once and the cache keeps.

The kernel in it is the lock's, so that what dracut makes and what we make can be compared and booted alike. It is only
unpacked: installing the package would run dracut once more. Another architecture's dracut runs through qemu-user.

    root = dracut_root("amd64")                       # UnavailableError says why there is none
    subprocess.run(plain_dracut(root, "/tmp/out"))    # in it
    in_a_copy(root, "dracut --force /given/out", given=tmp_path)     # with changes that are gone afterwards
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from powernode.base.errors import PowernodeError
from powernode.debian import apt, binfmt, lock
from powernode.debian.inputs import Inputs
from powernode.image.kernel import open_kernel
from support.debian import CACHE, CHECKOUT, UnavailableError

SUITE = "trixie"
PACKAGES = ("dracut", "systemd-sysv", "udev", "kmod", "python3", "e2fsprogs", "zstd")

# Mounts go with the process that made them: it has a mount namespace of its own.
_NAMESPACE = ("unshare", "--mount", "--propagation=private", "sh", "-euc")
_RUN = 'mount -t proc proc "$1/proc" && root=$1 && shift && exec chroot "$root" "$@"'
_RUN_IN_A_COPY = """
mount -t tmpfs tmpfs "$3" && mkdir "$3/upper" "$3/work" "$3/root"
mount -t overlay -o "lowerdir=$1,upperdir=$3/upper,workdir=$3/work" overlay "$3/root"
mkdir "$3/root/checkout" "$3/root/given"
mount --bind -o ro "$4" "$3/root/checkout"
mount --bind "$2" "$3/root/given"
mount -t proc proc "$3/root/proc"
exec chroot "$3/root" sh -euc "$5"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DracutRoot:
    path: Path
    arch: str
    release: str
    """Of its kernel."""


def dracut_root(arch: str) -> DracutRoot:
    """Made if it is not there: half a minute natively, some minutes emulated."""
    if os.geteuid():
        raise UnavailableError("changing the root needs root")
    path = CACHE / f"peers/dracut-{arch}"
    try:
        locked = lock.parse((CHECKOUT / lock.path_of(arch)).read_bytes())
        (package,) = locked.group("kernel-cloud")
        tree = Inputs(locked, CACHE).tree(package.name)
        release = open_kernel(tree).release
        binfmt.ensure(arch)
        if not path.exists():
            _bootstrap(arch, path)
    except PowernodeError as error:
        raise UnavailableError(str(error)) from error
    root = DracutRoot(path=path, arch=arch, release=release)
    _add_kernel(root, tree)
    return root


def plain_dracut(root: DracutRoot, out: str) -> list[str]:
    """The command line for an initramfs of the distribution, for any machine."""
    dracut = ["dracut", "--quiet", "--force", "--no-hostonly", "--zstd", out, root.release]
    return [*_NAMESPACE, _RUN, "sh", str(root.path), *dracut]


def in_a_copy(root: DracutRoot, script: str, given: Path) -> str:
    """Run a shell script in the root; it sees the checkout as /checkout and can write to `given`, which is /given."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [*_NAMESPACE, _RUN_IN_A_COPY, "sh", str(root.path), str(given), scratch, str(CHECKOUT), script]
        result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        raise AssertionError(f"the script in the chroot ended with {result.returncode}:\n{result.stdout[-3000:]}")
    return result.stdout


def _bootstrap(arch: str, path: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise UnavailableError("mmdebstrap is not here to make a root with dracut")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--architectures={arch}"),
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--aptopt=APT::Install-Recommends "false"',
        *(SUITE, str(part), apt.machine_archive()),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        shutil.rmtree(part, ignore_errors=True)
        raise UnavailableError(f"mmdebstrap cannot make a root with dracut: {result.stderr.strip()[-300:]}")
    part.rename(path)


def _add_kernel(root: DracutRoot, tree: Path) -> None:
    modules = f"usr/lib/modules/{root.release}"
    if (root.path / modules / "modules.dep.bin").exists():
        return
    for folder in (modules, "boot"):
        shutil.copytree(tree / folder, root.path / folder, dirs_exist_ok=True)
    subprocess.run(["chroot", str(root.path), "depmod", root.release], check=True)
