# SPDX-License-Identifier: MIT
"""Whoever had the disk put there what a program would wait for, follow or obey: it still ends where it should.

docs/threat-model.md says what such a person can do and what not; damage to what is verified is in `test_tamper_vm`.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from powernode.image.persistdisk import node_files
from powernode.image.persistdisk import write as write_disk
from powernode.image.qemu import Disk, copy_disk
from powernode.image.request import Options
from powernode.module.directory import Module, merge_root
from vm._disk import HOME, DiskEditor
from vm._images import HOST_ARCH, Booted, boot, kernel_initrd, machine, tiny_module

VAR = "var-upper/upper"

_INIT = """#!/usr/bin/busybox sh
tell() { echo; echo "@@ $1 \\"$2\\""; }
try() { "$@" >/dev/null 2>&1 && echo yes || echo no; }
echo; echo "@@ report $(/usr/bin/busybox cat /run/powernode/boot.json)"
tell etc "$(/usr/bin/busybox ls /etc | /usr/bin/busybox tr '\\n' ' ')"
tell var "$(/usr/bin/busybox awk '$2 == "/var" {print $4}' /proc/mounts)"
tell device "$(try /usr/bin/busybox head -c 1 /var/planted/zero)"
tell planted "$(/usr/bin/busybox cat /var/planted/file)"
tell hidden "$(try test -e /var/shipped/file)"
tell elsewhere "$(/usr/bin/busybox ls /var/redirected | /usr/bin/busybox tr '\\n' ' ')"
/usr/bin/busybox poweroff -f
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An image whose root is never written to, and its disk before the first boot."""

    image: Path
    fresh: Path
    module: Module


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    folder = tmp_path_factory.mktemp("hostile")
    config = folder / "config.json"
    config.write_text('{"root":{"policy":"ro"},"persist":{"wait_s":2}}')
    module = tiny_module(folder, HOST_ARCH, init=_INIT, more={"var/shipped/file": b"shipped", "etc/shipped": b"too"})
    image = kernel_initrd(Options(arch=HOST_ARCH, modules=(module.directory,), config=config, room_mib=16))
    fresh = folder / "fresh.img"
    write_disk(fresh, node_files([module], merge_root([module]), {}), room_bytes=16 << 20)
    return Node(image=image, fresh=fresh, module=module)


@pytest.fixture
def disk(node: Node, tmp_path: Path) -> DiskEditor:
    copy_disk(node.fresh, tmp_path / "disk.img")
    return DiskEditor(tmp_path / "disk.img")


def start(node: Node, *disks: Path) -> Booted:
    return boot(machine(node.image, HOST_ARCH, disks=[Disk(path=path, throw_away=False) for path in disks]))


def assert_refused(booted: Booted, *refused: tuple[str, str]) -> None:
    """Nothing ran, and these are among the reasons, by the agent's own lines: a busy host may lose the screen's end."""
    assert not booted.results, booted.report["root"]
    assert set(refused) <= set(booted.refused), booted.lines[-30:]


def test_what_is_planted_in_var_is_there_and_has_no_powers(node: Node, disk: DiskEditor) -> None:
    disk.folders(f"{VAR}/planted")
    disk.write(f"{VAR}/planted/file", b"planted")
    disk.mode(f"{VAR}/planted/file", stat.S_IFREG | 0o4755)
    disk.node(f"{VAR}/planted/zero", "c 1 5")
    disk.folders(f"{VAR}/shipped")
    disk.node(f"{VAR}/shipped/file", "c 0 0")
    disk.folders(f"{VAR}/redirected")
    disk.attribute(f"{VAR}/redirected", "trusted.overlay.redirect", "/../etc")
    # A FIFO where a set is expected, and where its attempts are.
    name = f"{hashlib.sha256(b'').hexdigest()}.json"
    disk.folders(f"{HOME}/sets")
    disk.symlink(f"{HOME}/sets/pending", name)
    disk.symlink(f"{HOME}/sets/good", name)
    disk.node(f"{HOME}/sets/{name}", "p")
    disk.node(f"{HOME}/sets/pending.attempts", "p")
    booted = start(node, disk.path)
    assert booted.refused == [("pending", "agent.sets.attempts"), ("good", "agent.sets.missing")]
    root = booted.report["root"]
    assert (root["kind"], root["policy"], root["upper"], root["var"]) == ("base", "ro", "none", "persist")
    assert booted.results["planted"] == "planted"
    assert booted.results["hidden"] == "no"
    assert {"nosuid", "nodev"} <= set(booted.results["var"].split(","))
    assert booted.results["device"] == "no"
    assert booted.results["elsewhere"] == ""
    assert "shipped" in booted.results["etc"]


def test_a_link_in_var_does_not_lead_a_mount_over_the_root(node: Node, disk: DiskEditor) -> None:
    disk.folders(f"{VAR}/lib/powernode")
    disk.symlink(f"{VAR}/lib/powernode/modules", "/sysroot/etc")
    assert_refused(start(node, disk.path), ("base", "boot.link"))


def test_two_disks_with_the_label(node: Node, disk: DiskEditor, tmp_path: Path) -> None:
    copy_disk(node.fresh, tmp_path / "second.img")
    assert_refused(start(node, disk.path, tmp_path / "second.img"), ("persist", "persist.ambiguous"))
