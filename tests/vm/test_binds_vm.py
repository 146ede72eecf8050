# SPDX-License-Identifier: MIT
"""A directory of the host's in a machine, by 9p and by virtiofs. Debian's cloud kernel has only virtiofs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from powernode.image.qemu import Disk
from powernode.image.request import Options
from support.debian import CACHE, PrivateApt, UnavailableError
from vm._images import HOST_ARCH, Booted, boot, kernel_initrd, machine, tiny_module

INIT = """#!/usr/bin/busybox sh
busybox() { /usr/bin/busybox "$@"; }
tell() { echo; echo "@@ $1 $2"; }
tell report "$(busybox cat /run/powernode/boot.json)"
tell seed '"'"$(busybox cat /run/powernode/seed/answer 2>&1)"'"'
tell mounts '"'"$(busybox awk '{printf "%s %s %s;", $2, $3, $4}' /proc/mounts)"'"'
tell exit 0
busybox poweroff -f
"""
PACKAGES = ("virtiofsd", "libseccomp2", "libcap-ng0", "libc6", "libgcc-s1")


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    folder = tmp_path / "seed"
    folder.mkdir()
    (folder / "answer").write_text("forty-two")
    return folder


def boot_with(folder: Path, kind: str, kernel: str, options: Sequence[str]) -> Booted:
    """With one bind that the host gives, and one that it does not."""
    binds = ",".join(f'{{"type":"{kind}","tag":"{tag}","target":"/run/powernode/{tag}"}}' for tag in ("seed", "nobody"))
    (folder / "config.json").write_text(f'{{"binds":[{binds}]}}')
    tiny = tiny_module(folder, HOST_ARCH, name="binds", init=INIT, files=1)
    image = kernel_initrd(
        Options(arch=HOST_ARCH, kernel=kernel, modules=(tiny.directory,), config=folder / "config.json", room_mib=16)
    )
    disk = Disk(path=image / "persist.img", throw_away=True)
    return boot(machine(image, HOST_ARCH, disks=[disk], options=tuple(options)))


def assert_has_seed(booted: Booted, kind: str) -> None:
    assert booted.report["root"]["enforcement"] == "kernel-verity"
    assert booted.results["seed"] == "forty-two"
    assert booted.report["binds"] == [{"type": kind, "tag": "seed", "target": "/run/powernode/seed"}]
    (mount,) = [text for text in booted.results["mounts"].split(";") if text.startswith("/run/powernode/seed ")]
    assert mount.split()[1] == kind
    assert {"nosuid", "nodev"} <= set(mount.split()[2].split(","))
    # What the host does not give is told and stops nothing.
    (warning,) = [item for item in booted.report["warnings"] if item["code"] == "boot.bind"]
    assert f"{kind} nobody is not at /run/powernode/nobody" in warning["message"]


def test_9p(tmp_path: Path, seed: Path) -> None:
    share = f"local,path={seed},mount_tag=seed,security_model=none,readonly=on"
    assert_has_seed(boot_with(tmp_path, "9p", "kernel-generic", ["-virtfs", share]), "9p")


@contextmanager
def virtiofsd(share: Path, socket: Path) -> Iterator[None]:
    """Debian's, from trixie, with its own libraries: bookworm has none."""
    here = CACHE / "virtiofsd"
    if not here.exists():
        try:
            apt = PrivateApt("trixie")
            apt.update()
            apt.unpack(PACKAGES, here.with_suffix(".part"))
        except UnavailableError as error:
            pytest.skip(f"no virtiofsd: {error}")
        here.with_suffix(".part").rename(here)
    libraries = here / "usr/lib/x86_64-linux-gnu"
    words = [f"{libraries}/ld-linux-x86-64.so.2", "--library-path", f"{libraries}", f"{here}/usr/libexec/virtiofsd"]
    options = [f"--shared-dir={share}", f"--socket-path={socket}", "--sandbox=none", "--readonly"]
    process = subprocess.Popen([*words, *options], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(500):
            if socket.exists() or process.poll() is not None:
                break
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        yield
    finally:
        process.kill()
        process.communicate()


def test_virtiofs(tmp_path: Path, seed: Path) -> None:
    if HOST_ARCH != "amd64":
        pytest.skip("this test runs amd64's virtiofsd")
    socket = tmp_path / "socket"
    options = (
        *("-object", "memory-backend-memfd,id=memory,size=1024M,share=on", "-numa", "node,memdev=memory"),
        *("-chardev", f"socket,id=seed,path={socket}", "-device", "vhost-user-fs-pci,chardev=seed,tag=seed"),
    )
    with virtiofsd(seed, socket):
        assert_has_seed(boot_with(tmp_path, "virtiofs", "kernel-cloud", options), "virtiofs")
