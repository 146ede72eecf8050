# SPDX-License-Identifier: MIT
"""The dracut way: what our module puts into an image.

With POWERNODE_DRACUT=1 also what Debian's own dracut makes of it with our configuration, booted: this takes a minute
and a half, and half a minute more the first time, for a root with dracut in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from powernode import native
from powernode.base.canonical import encode
from powernode.image import board, library
from powernode.image.persistdisk import node_files
from powernode.image.persistdisk import write as write_disk
from powernode.image.qemu import Disk, Machine
from powernode.image.request import Options, make
from powernode.module.directory import Facts, Module, from_tree, merge_root, write
from support.debian import CACHE, CHECKOUT, UnavailableError
from support.dracut import DracutRoot, dracut_root, in_a_copy
from vm._images import HOST_ARCH, Booted, boot, tiny_module

# What docs/dracut.md tells an operator, with the library for a node instead of a wheel.
INSTALL = """
install -D -m 644 /given/libpowernode.so /usr/lib/powernode/libpowernode.so
cp -r /checkout/src/powernode /usr/lib/python3/dist-packages
rm -f /usr/lib/python3/dist-packages/powernode/native/*.so
cp -r /checkout/initramfs/modules.d/90powernode /usr/lib/dracut/modules.d
cp /checkout/initramfs/dracut.conf.d/powernode.conf /etc/dracut.conf.d
cp "/checkout/initramfs/dracut.conf.d/powernode-$(dpkg --print-architecture).conf" /etc/dracut.conf.d
cp -r /given/etc /etc/powernode
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An initramfs of dracut's, the disk with its objects, and a disk with the same tree as plain files."""

    root: DracutRoot
    initramfs: Path
    persist: Path
    plain: Path
    digest: str

    def boot(self, disk: Path, append: str) -> Booted:
        target = board.read(CHECKOUT / "board", "qemu").target(HOST_ARCH)
        machine = Machine(
            target=target,
            kernel=self.root.path / f"boot/vmlinuz-{self.root.release}",
            initramfs=self.initramfs,
            cmdline=" ".join((*target.kernel_arguments, "panic=-1", append)),
            disks=(Disk(path=disk, throw_away=True),),
            network=False,
        )
        return boot(machine)


@pytest.fixture(scope="module")
def root() -> DracutRoot:
    if not os.environ.get("POWERNODE_DRACUT"):
        pytest.skip("running dracut and booting what it makes takes long: POWERNODE_DRACUT=1 asks for it")
    try:
        return dracut_root(HOST_ARCH)
    except UnavailableError as error:
        pytest.skip(f"no dracut here: {error}")


@pytest.fixture(scope="module")
def made(root: DracutRoot, tmp_path_factory: pytest.TempPathFactory) -> Made:
    given = tmp_path_factory.mktemp("dracut")
    tiny = _module(given)
    merged = merge_root([tiny])
    (given / "config.json").write_text('{"persist":{"wait_s":2}}')
    request = make(Options(arch=HOST_ARCH, modules=(tiny.directory,), config=given / "config.json"))
    (given / "etc").mkdir()
    (given / "etc/config.json").write_bytes(encode(request.config))
    (given / "etc/base.set").write_bytes(request.base_set or b"")
    (given / "libpowernode.so").write_bytes(library.build(CHECKOUT / "csrc", HOST_ARCH, CACHE).data)
    said = in_a_copy(root, f"{INSTALL}\ndracut --force /given/initramfs {root.release}", given)
    assert "Including module: powernode" in said
    assert "FAILED" not in said
    write_disk(given / "persist.img", node_files([tiny], merged, {}), room_bytes=16 << 20)
    plain = given / "plain.img"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-L", "plain", "-d", str(given / "tiny-tree"), str(plain), "32M"], check=True
    )
    return Made(
        root=root,
        initramfs=given / "initramfs",
        persist=given / "persist.img",
        plain=plain,
        digest=str(merged.digest),
    )


def _module(folder: Path) -> Module:
    """The tests' tiny root, as one that systemd changes to: it wants an os-release, and leaves no console open."""
    tiny_module(folder, HOST_ARCH)
    tree = folder / "tiny-tree"
    (tree / "usr/lib/os-release").write_text("ID=tiny\n")
    init = tree / "usr/sbin/init"
    shebang, rest = init.read_text().split("\n", 1)
    rest = rest.replace("/run/powernode/boot.json)", "/run/powernode/boot.json || echo null)")
    init.write_text(f"{shebang}\nexec >/dev/console 2>&1\n{rest}")
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (0, 0), follow_symlinks=False)
    facts = Facts(name="dracut", version="1", architecture=HOST_ARCH, effective_priority=1000)
    return write(folder / "dracut", facts, from_tree(tree))


def test_the_agent_mounts_the_root(made: Made) -> None:
    booted = made.boot(made.persist, "root=LABEL=plain root=")
    root = booted.report["root"]
    assert (root["digest"], root["enforcement"]) == (made.digest, "kernel-verity")
    assert any(f"powernode: root {made.digest} kernel-verity" in line for line in booted.lines)
    assert not [name for name in booted.results if name.startswith("refused:")]
    mounts = {line.split()[0]: line for line in booted.results["mounts"].split(";") if line}
    assert "verity=require" in mounts["/"]
    assert mounts["/run/powernode/persist"].split()[1] == "ext4"


def test_without_the_agent_the_root_is_the_one_on_the_command_line(made: Made) -> None:
    booted = made.boot(made.plain, "powernode.boot=0 root=LABEL=plain")
    assert booted.results["mounts"].startswith("/ ext4 ")
    assert not any("powernode:" in line for line in booted.lines)


def test_a_root_that_nobody_verifies_is_refused(made: Made) -> None:
    booted = made.boot(made.plain, "root=LABEL=plain")
    assert any("FATAL: powernode: root=LABEL=plain would not be verified" in line for line in booted.lines)
    assert "mounts" not in booted.results


def test_a_root_that_another_mounted_is_refused(made: Made) -> None:
    booted = made.boot(made.plain, "rd.systemd.mount-extra=/dev/vda:/sysroot:ext4")
    assert any("FATAL: powernode: this root was not mounted by the agent" in line for line in booted.lines)
    assert "mounts" not in booted.results


def test_nothing_to_boot_is_the_agents_to_tell(made: Made) -> None:
    booted = made.boot(made.plain, "powernode.recovery_seconds=1")
    assert ("persist", "persist.missing") in [(what, code) for what, code in _refused(booted)]
    assert "mounts" not in booted.results


def _refused(booted: Booted) -> list[tuple[str, str]]:
    """Through the journal, each line has the service's name in front."""
    said = [line.partition("powernode: refused ")[2] for line in booted.lines]
    return [(words[0], words[1].strip()) for line in said if len(words := line.split(":", 2)) == 3]


def closure(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = CHECKOUT / "initramfs/modules.d/90powernode/closure.py"
    return subprocess.run(
        [sys.executable, str(script), str(tree)],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_the_agent_comes_compiled_with_what_it_imports(tmp_path: Path) -> None:
    if native.library() is None:
        pytest.skip(f"the agent needs the C library: {native.reason()}")
    assert (closure(tmp_path).stderr, list(tmp_path.rglob("*.py"))) == ("", [])
    python = os.path.realpath(sys.executable)
    assert f"exec {python} -I -S -m powernode.cli.agent " in (tmp_path / "usr/bin/powernode-agent").read_text()
    standard = Path(sysconfig.get_path("stdlib"))
    for path in ("ctypes/__init__.pyc", "powernode/cli/agent/boot.pyc", "powernode/native/_ctypes_door.pyc"):
        assert (tmp_path / str(standard / path).lstrip("/")).is_file()
    # Every one that can be executed gets its libraries from dracut.
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file() and not os.access(path, os.X_OK)} == {".pyc"}
    assert os.access(f"{tmp_path}{python}", os.X_OK)
    assert any(path.name.startswith("_ctypes.") for path in tmp_path.rglob("lib-dynload/*"))


def test_without_the_library_there_is_no_image(tmp_path: Path) -> None:
    result = closure(tmp_path, POWERNODE_NATIVE="off")
    assert result.returncode == 1
    assert "the agent needs the C library of powernode: off by POWERNODE_NATIVE" in result.stderr
