# SPDX-License-Identifier: MIT
"""kernel-initrd built twice, as differently as one machine allows: identical bytes of every file, manifest included.

What differs: the checkout's path, filesystem, order in its folders and times of its files; working directory, TZ,
locale, umask, host name, HOME, TMPDIR, hash seed, number of processors, place and times of the module; a cache that has
everything, and one that has the downloads only. The clock itself cannot be changed here; it differs by the time between
the builds, and the times of all files of one checkout are of another year.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from powernode.archive import cpio
from powernode.debian.inputs import Inputs
from powernode.image.compare import Origins, compare
from powernode.image.manifest import check_sums
from powernode.image.pack import unpack
from powernode.image.steps.initramfs import INITRAMFS
from repro._checkouts import PARTS, copy_of_checkout, machine_can, powernode
from support.debian import CACHE
from unit.image._small_builds import repack
from vm._images import HOST_ARCH, locked, tiny_module

MEMORY = Path("/dev/shm")
ELSEWHERE = {
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "tr_TR.UTF-8",
    "LANG": "de_DE.ISO-8859-1",
    "PYTHONHASHSEED": "4711",
    "SOURCE_DATE_EPOCH": "1234567890",
    "HOME": "/nowhere",
}


@dataclass(frozen=True)
class Site:
    """A checkout with a module and a built image."""

    checkout: Path
    module: Path
    image: Path


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Built with the tests' cache."""
    folder = tmp_path_factory.mktemp("here")
    checkout = copy_of_checkout(folder / "checkout", HOST_ARCH)
    module = tiny_module(folder, HOST_ARCH).directory
    words = ("image", "build", f"--arch={HOST_ARCH}", "--variant=kernel-initrd", f"--modules={module}", "--room=16")
    result = powernode(checkout, *words, f"--out={folder / 'out'}", cwd=folder)
    assert result.returncode == 0, result.stderr
    return Site(checkout=checkout, module=module, image=folder / "out/kernel-initrd" / HOST_ARCH)


@pytest.fixture(scope="module")
def there(here: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Copied the other way round, into memory where there is a filesystem of that kind; not yet built."""
    parent = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else tmp_path_factory.mktemp("there")
    folder = parent / f"powernode {os.getpid()}, anderswo ü"
    try:
        for part in PARTS:
            copy_backwards(here.checkout / part, folder / "a checkout" / part)
        copy_backwards(here.module, folder / "module")
        image = folder / "o/kernel-initrd" / HOST_ARCH
        yield Site(checkout=folder / "a checkout", module=folder / "module", image=image)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_backwards(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir(), reverse=True):
        if path.is_dir():
            copy_backwards(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)
        os.utime(target / path.name, (1_000_000_000, 1_000_000_000))


def elsewhere() -> list[str]:
    """What to run a command with: another host name and one processor, where that can be had."""
    prefix = []
    for words in (["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"], ["taskset", "-c", "0"]):
        if machine_can(*words, "true"):
            prefix += words
        else:
            print(f"not covered here: {words[0]}")
    return prefix


def test_the_copies_differ_in_order(here: Site, there: Site) -> None:
    """Else less would be shown below than it says."""
    if there.checkout.parent.parent != MEMORY:
        pytest.skip("no filesystem in memory, and a disk may well list both copies in one order")
    names = ("csrc/crypto", "initramfs/kernel-modules", "src/powernode/agent", "src/powernode/base")
    assert all(os.listdir(here.checkout / name) != os.listdir(there.checkout / name) for name in names)


def test_another_place_and_environment_give_the_same_bytes(here: Site, there: Site) -> None:
    words = ("image", "build", f"--arch={HOST_ARCH}", "--variant=kernel-initrd", f"--modules={there.module}")
    scratch = there.module.parent / "tmp"
    scratch.mkdir()
    result = powernode(
        there.checkout,
        *(*words, "--room=16", f"--out={there.image.parent.parent}"),
        cwd=there.module,
        prefix=elsewhere(),
        environment=ELSEWHERE | {"TMPDIR": str(scratch)},
        umask=0o077,
    )
    assert result.returncode == 0, result.stderr
    assert os.listdir(scratch) == []
    names = sorted(path.name for path in here.image.iterdir())
    assert names == [*("SHA256SUMS", "build-manifest.json", "cmdline", "initramfs.cpio.zst", "persist.img", "vmlinuz")]
    assert sorted(path.name for path in there.image.iterdir()) == names
    for name in names:
        assert (here.image / name).read_bytes() == (there.image / name).read_bytes(), name
        assert (here.image / name).stat().st_mode == (there.image / name).stat().st_mode
    assert len(check_sums(there.image)) == len(names) - 1


def test_a_fresh_cache_gives_the_same_bytes(here: Site, there: Site) -> None:
    """`image verify` believes nothing but checked downloads: it unpacks, compiles and compresses everything again."""
    result = powernode(
        there.checkout,
        *("image", "verify", here.image, f"--modules={there.module}", "--room=16", "--json"),
        cwd=there.checkout,
        prefix=elsewhere(),
        environment=ELSEWHERE,
        umask=0o027,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    answer = json.loads(result.stdout)
    assert (answer["identical"], answer["differences"]) == (True, [])


ORIGINS = {
    "init": "initramfs/init",
    "usr/bin/busybox": "busybox-static",
    "usr/sbin/e2fsck": "e2fsprogs",
    "usr/bin/python3.13": "python3.13-minimal",
    "usr/lib/python3.13/os.pyc": "libpython3.13-minimal",
    "usr/lib/python3.13/powernode/cli/agent/__init__.pyc": "src/powernode/cli/agent/__init__.py",
    "usr/lib/powernode/libpowernode.so": "csrc",
    "etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "etc/powernode/base.set": "the modules",
    "etc/powernode/modules": "initramfs/kernel-modules",
}


def test_every_file_of_the_initramfs_has_an_origin(here: Site) -> None:
    """What `image verify` names; that it does is in tests/unit/cli/test_image.py."""
    inputs = Inputs(locked(HOST_ARCH), CACHE)
    groups = (*inputs.lock.group("kernel-cloud"), *inputs.lock.group("initramfs"))
    origins = Origins(board="qemu", packages={item.name: inputs.tree(item.name) for item in groups})
    paths = [entry.path for entry in unpack((here.image / INITRAMFS).read_bytes()) if stat.S_ISREG(entry.mode)]
    found = {path: origins.of_file(path) for path in paths}
    assert {path: found.get(path) for path in ORIGINS} == ORIGINS
    assert all(origin.startswith("linux-image-") for path, origin in found.items() if path.endswith(".ko") and origin)
    assert [path for path, origin in found.items() if origin is None] == ["usr/bin/powernode-agent"]


def test_a_changed_program_is_named(here: Site, tmp_path: Path) -> None:
    shutil.copytree(here.image, tmp_path / "old")
    packed = tmp_path / "old" / INITRAMFS
    packed.write_bytes(repack(packed.read_bytes(), [cpio.file("usr/bin/busybox", b"#!/bin/sh", 0o755)]))
    package = Inputs(locked(HOST_ARCH), CACHE).tree("busybox-static")
    origins = Origins(board="qemu", packages={"busybox-static": package})
    (difference,) = compare(tmp_path / "old", here.image, origins)
    assert (difference.inside, difference.origin) == ("usr/bin/busybox", "busybox-static")
