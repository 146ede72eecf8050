# SPDX-License-Identifier: MIT
"""The agent's boot on the running kernel, in a mount namespace: a real ext4, real EROFS and overlay mounts, real moves.

This kernel need not have fs-verity, so the floor is `userspace` here; what enforcement adds is tested in tests/vm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from powernode import native
from powernode.agent.boot import Boot, Outcome
from powernode.agent.kernel import LinuxKernel
from powernode.agent.outcome import ImageMount
from powernode.agent.report import Report
from powernode.base.errors import DataError, MachineError
from powernode.linux.blockdev import probe
from powernode.linux.mount import clone_tree, move_mount, unmount
from root.conftest import Privately, mounts
from unit.agent._node import BIG, Node

FILESYSTEM_MIB = 16
DEVICE_MIB = 32


def tool(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"no {name} here")
    return path


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class Machine:
    """A node whose persist is on a loop device; `node` prepares it and is not used to mount."""

    def __init__(self, folder: Path) -> None:
        self.node = Node(folder / "node")
        self.node.configure(enforcement={"floor": "userspace"}, persist={"wait_s": 1})
        self.disk = folder / "disk"
        self.device = ""
        self.codes: list[tuple[str, str]] = []

    def make_disk(self) -> None:
        """Everything that is in the node's /persist goes onto the filesystem."""
        persist = self.node.root / "persist"
        run(
            *(tool("mke2fs"), "-q", "-t", "ext4", "-b", "4096", "-L", "persist", "-E", "resize=1000000"),
            *("-d", str(persist), str(self.disk), f"{FILESYSTEM_MIB}M"),
        )
        shutil.rmtree(persist)
        persist.mkdir()
        os.truncate(self.disk, DEVICE_MIB << 20)
        self.device = run(tool("losetup"), "--find", "--show", str(self.disk))
        self.node.disk("vda2", b"", size=DEVICE_MIB << 20)
        os.unlink(self.node.root / "dev/vda2")
        os.symlink(self.device, self.node.root / "dev/vda2")

    def boot(self) -> Outcome:
        """As if just started: the kernel's filesystems are mounts, nothing else is."""
        node = self.node
        for name in ("proc", "sys", "dev", "run"):
            tree = clone_tree(node.root / name)
            move_mount(tree, node.root / name)
            os.close(tree)
        report = Report(clock=node.clock, say=node.console.append)
        kernel = LinuxKernel(scratch=str(node.root / "run"))
        outcome = Boot(node.paths, kernel, report, node.clocks()).run()
        node.document = report.document(outcome.kind)
        return outcome

    def mounted(self) -> list[str]:
        """Where something is mounted below the node's root."""
        prefix = f"{self.node.root}/"
        places = [line.split()[4] for line in mounts()]
        return [place.removeprefix(prefix) for place in places if place.startswith(prefix)]

    def power_off(self) -> None:
        for place in sorted(self.mounted(), key=len, reverse=True):
            unmount(self.node.root / place, detach=True)
        shutil.rmtree(self.node.root / "run")
        (self.node.root / "run").mkdir()


@pytest.fixture
def machine(tmp_path: Path, privately: Privately) -> Iterator[Machine]:
    if native.library() is None:
        pytest.skip(f"signed sets need the C library: {native.reason()}")
    machine = Machine(tmp_path)
    yield machine
    if machine.device:
        run(tool("losetup"), "--detach", machine.device)


def started(machine: Machine, *, policy: str = "ro") -> None:
    node = machine.node
    module = node.image("nginx", {"usr/sbin/nginx": b"n" * BIG})
    node.good(
        node.boot_set(node.root_image("root", var__lib__seed=b"s" * BIG), modules={"nginx": module}, policy=policy)
    )
    machine.make_disk()


def test_boot_on_this_kernel(privately: Privately, machine: Machine) -> None:
    def body() -> None:
        started(machine)
        assert machine.boot().kind == "booted", machine.node.console
        assert sorted(machine.mounted()) == sorted(
            [
                "sysroot",
                "sysroot/var",
                "sysroot/var/lib/powernode/modules",
                "sysroot/var/lib/powernode/modules/nginx",
                "sysroot/persist",
                "sysroot/run",
                "sysroot/run/powernode/persist",
                "sysroot/dev",
                "sysroot/sys",
                "sysroot/proc",
            ]
        )
        root = machine.node.root / "sysroot"
        assert machine.node.document["root"]["enforcement"] == "userspace"
        assert machine.node.warnings()[0] == "persist.no-verity"
        assert (root / "etc/name").read_text() == "root"
        assert (root / "var/lib/powernode/modules/nginx/usr/sbin/nginx").read_bytes() == b"n" * BIG
        for place in ("etc/new", "var/lib/powernode/modules/new", "var/lib/powernode/modules/nginx/new"):
            with pytest.raises(OSError, match="Read-only"):
                (root / place).touch()
        assert (root / "var/lib/seed").read_bytes() == b"s" * BIG
        (root / "var/lib/seed").write_bytes(b"changed")
        assert (root / "run/powernode/boot.json").exists()
        assert (root / "persist/var-upper/upper/lib/seed").read_bytes() == b"changed"
        machine.power_off()
        assert machine.boot().kind == "booted", machine.node.console
        assert (root / "var/lib/seed").read_bytes() == b"changed"
        machine.power_off()

    privately(body)


def may_grow() -> bool:
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> 24 & 1)


def test_the_filesystem_takes_the_whole_device(privately: Privately, machine: Machine) -> None:
    if not may_grow():
        pytest.skip("growing a mounted ext4 needs CAP_SYS_RESOURCE, which this container lacks")

    def body() -> None:
        started(machine)
        assert machine.boot().kind == "booted", machine.node.console
        grown = probe(machine.device)
        assert grown is not None
        assert grown.size_bytes == DEVICE_MIB << 20
        machine.power_off()
        assert machine.boot().kind == "booted", machine.node.console
        assert not any(stage["name"] == "grow" for stage in machine.node.document["stages"])
        machine.power_off()

    privately(body)


@pytest.mark.parametrize(("policy", "kept"), [("ephemeral", False), ("persistent", True)])
def test_policies_on_this_kernel(privately: Privately, machine: Machine, policy: str, kept: bool) -> None:
    def body() -> None:
        started(machine, policy=policy)
        assert machine.boot().kind == "booted", machine.node.console
        root = machine.node.root / "sysroot"
        (root / "etc/new").write_text("x")
        (root / "sbin/init").chmod(0o700)
        (root / "var/new").write_text("y")
        machine.power_off()
        assert machine.boot().kind == "booted", machine.node.console
        assert (root / "etc/new").exists() == kept
        assert (root / "sbin/init").stat().st_mode & 0o777 == (0o700 if kept else 0o755)
        assert (root / "var/new").read_text() == "y"
        machine.power_off()

    privately(body)


def change_object(store: Path) -> None:
    path = max(
        (path for path in (store / "objects").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    path.write_bytes(b"!" * path.stat().st_size)


def lose_object(store: Path) -> None:
    next(path for path in (store / "objects").rglob("*") if path.is_file()).unlink()


def cut_image(store: Path) -> None:
    for path in (store / "images").iterdir():
        os.truncate(path, 4096)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (change_object, "boot.object-digest"),
        (lose_object, "boot.object-missing"),
        (cut_image, "boot.image-digest"),
    ],
)
def test_refused_sets_leave_nothing_mounted(
    privately: Privately, machine: Machine, damage: Callable[[Path], None], code: str
) -> None:
    def body() -> None:
        node = machine.node
        node.good(node.boot_set(node.root_image()))
        damage(Path(node.store.root))
        machine.make_disk()
        assert machine.boot().kind == "nothing"
        assert node.codes() == [("good", code)]
        assert sorted(machine.mounted()) == ["dev", "persist", "proc", "run", "sys"]
        assert os.listdir(node.root / "sysroot") == []
        machine.power_off()

    privately(body)


def test_a_preflight_refusal_takes_every_mount_back(privately: Privately, machine: Machine) -> None:
    def body() -> None:
        node = machine.node
        node.good(
            node.boot_set(node.image("bare", {"sbin/init": b"#!/bin/none\n"}, ("proc", "sys", "dev", "run", "var")))
        )
        machine.make_disk()
        assert machine.boot().kind == "nothing"
        assert node.codes() == [("good", "boot.preflight-missing")]
        assert sorted(machine.mounted()) == ["dev", "persist", "proc", "run", "sys"]
        machine.power_off()

    privately(body)


def test_this_kernel_cannot_reach_the_floor(privately: Privately, machine: Machine) -> None:
    """A filesystem without the verity feature: whatever the kernel can do, it cannot seal there."""

    def body() -> None:
        node = machine.node
        node.configure()
        node.good(node.boot_set(node.root_image()))
        machine.make_disk()
        assert machine.boot().kind == "nothing"
        assert node.codes() == [("good", "boot.enforcement")]
        machine.power_off()

    privately(body)


def test_a_disk_that_is_no_filesystem_inside(privately: Privately, machine: Machine) -> None:
    def body() -> None:
        node = machine.node
        node.good(node.boot_set(node.root_image()))
        machine.make_disk()
        with open(machine.disk, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 8192)  # the superblock is whole, the group descriptors are not
        node.configure(persist={"wait_s": 0, "tmpfs_fallback": True})
        assert machine.boot().kind == "nothing"
        assert node.codes() == [("persist", "persist.unmountable")]
        assert sorted(machine.mounted()) == ["dev", "proc", "run", "sys"]
        machine.power_off()

    privately(body)


@pytest.mark.parametrize(("damage", "status"), [(False, 0), (True, 4)])
def test_e2fsck_tells(privately: Privately, machine: Machine, damage: bool, status: int) -> None:
    def body() -> None:
        machine.make_disk()
        if damage:
            with open(machine.disk, "r+b") as file:
                file.seek(4096)
                file.write(b"\xff" * 4096 * 600)
        found, said = LinuxKernel().check_disk(tool("e2fsck"), machine.device)
        assert (found, bool(said)) == (status, True)

    privately(body)


def test_a_subtree_is_mounted_alone(privately: Privately, machine: Machine) -> None:
    def body() -> None:
        node = machine.node
        root = node.root_image("root", var__lib__seed=b"s" * BIG)
        kernel = LinuxKernel(scratch=str(node.root / "run"))

        def put(subtree: str) -> str:
            return kernel.mount_image(
                ImageMount(
                    image=node.store.image(root.hex),
                    objects=node.store.objects,
                    target=node.paths.sysroot,
                    digest=root.value,
                    floor="none",
                    subtree=subtree,
                )
            )

        put("var/lib")
        assert os.listdir(node.paths.sysroot) == ["seed"]
        assert (node.root / "sysroot/seed").read_bytes() == b"s" * BIG
        kernel.unmount(node.paths.sysroot)
        for subtree in ("absent", "etc/name", "var/absent/lib"):
            with pytest.raises(DataError) as caught:
                put(subtree)
            assert caught.value.code == "composefs.mount.subtree"
        assert machine.mounted() == []

    privately(body)


def test_mounts_that_are_not_there(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        kernel = LinuxKernel()
        with pytest.raises(MachineError) as caught:
            kernel.mount_disk("/dev/null", str(tmp_path))
        assert caught.value.code.startswith("linux.mount.")
        with pytest.raises(MachineError) as caught:
            kernel.move(str(tmp_path), str(tmp_path))
        assert caught.value.code == "linux.mount.failed"
        with pytest.raises(MachineError) as caught:
            kernel.seal(str(tmp_path / "none"), [])
        assert caught.value.code == "boot.store"

    privately(body)
