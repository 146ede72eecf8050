# SPDX-License-Identifier: MIT
"""Builds of a small variant: whole or not at all, and refused when an input is not what was pinned."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from powernode.base.errors import MachineError, PowernodeError
from powernode.debian.lock import Lock
from powernode.image.build import build
from powernode.image.manifest import MANIFEST, SUMS, check_sums
from powernode.image.plan import Plan, Step, Workspace
from powernode.image.steps.kernel import TakeKernel
from unit.image._small_builds import (
    KERNEL,
    RELEASE,
    Archive,
    PackSome,
    kernel_deb,
    lock_of,
    plan_of,
    serve,
    sources,
)
from unit.image.test_kconfig import GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """What may happen in the middle of a build, after something was written."""

    how: str

    def describe(self) -> str:
        return "fail"

    def run(self, workspace: Workspace) -> None:
        (workspace.out / "half").write_bytes(b"half")
        if self.how == "interrupt":
            raise KeyboardInterrupt
        raise OSError(getattr(errno, self.how), os.strerror(getattr(errno, self.how)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    size: int

    def describe(self) -> str:
        return "write"

    def run(self, workspace: Workspace) -> None:
        (workspace.out / "blob").write_bytes(os.urandom(self.size))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with serve(tmp_path / "archive") as server:
        yield server


def kernel_step(floor: str = "kernel-verity", dtb: str | None = None) -> TakeKernel:
    return TakeKernel(package=KERNEL, floor=floor, dtb=dtb, cmdline="quiet")


def good(lock: Lock) -> Plan:
    return plan_of(kernel_step(dtb="maker/board.dtb"), PackSome(init="x"), lock=lock)


def make(archive: Archive, out: Path, lock: Lock, *steps: Step) -> None:
    plan = plan_of(*steps, lock=lock) if steps else good(lock)
    build(plan, sources(lock, archive.folder.parent / "cache", archive), out, report=lambda _: None)


def refused(archive: Archive, out: Path, lock: Lock, *steps: Step) -> PowernodeError:
    with pytest.raises(PowernodeError) as caught:
        make(archive, out, lock, *steps)
    return caught.value


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_in_a_build(archive: Archive, tmp_path: Path) -> None:
    lock, said = lock_of(archive), list[str]()
    out = tmp_path / "images/small/amd64"
    build(good(lock), sources(lock, tmp_path / "cache", archive), out, report=said.append)
    names = {"vmlinuz", "cmdline", "board.dtb", "initramfs.cpio.zst"}
    assert {path.name for path in out.iterdir()} == names | {MANIFEST, SUMS}
    assert set(check_sums(out)) == names | {MANIFEST}
    assert (out / "cmdline").read_bytes() == b"quiet\n"
    assert [path.name for path in out.parent.iterdir()] == ["amd64"]
    document = json.loads((out / MANIFEST).read_text())
    assert document["plan"]["sha256"] == good(lock).digest
    assert [item["name"] for item in document["inputs"]] == ["busybox-static", KERNEL]
    assert document["inputs"][1]["sha256"] == lock.package(KERNEL).sha256
    assert document["kernel"] == {"release": RELEASE, "enforcement": "kernel-verity", "missing": []}
    assert said[0] == f"take the kernel of {KERNEL}, which must reach kernel-verity"


def test_the_same_again_whatever_the_umask(archive: Archive, tmp_path: Path) -> None:
    lock = lock_of(archive)
    make(archive, tmp_path / "one", lock)
    before = os.umask(0o077)
    try:
        make(archive, tmp_path / "two", lock)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert {path.stat().st_mode for path in (tmp_path / "two").iterdir()} == {0o100644}
    assert (tmp_path / "two").stat().st_mode == 0o40755


@pytest.mark.parametrize(
    ("how", "code"),
    [("ENOSPC", "image.build.no-space"), ("EDQUOT", "image.build.no-space"), ("EROFS", "image.build.place")],
)
def test_a_failed_build_leaves_the_old_one(archive: Archive, tmp_path: Path, how: str, code: str) -> None:
    lock, out = lock_of(archive), tmp_path / "images/out"
    make(archive, out, lock)
    before = content(out)
    error = refused(archive, out, lock, kernel_step(), Fail(how=how))
    assert (error.code, type(error)) == (code, MachineError)
    assert str(tmp_path / "cache") in str(error.hint)
    assert content(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_interrupted_build_leaves_the_old_one(archive: Archive, tmp_path: Path) -> None:
    lock, out = lock_of(archive), tmp_path / "images/out"
    with pytest.raises(KeyboardInterrupt):
        make(archive, out, lock, Fail(how="interrupt"))
    assert list(out.parent.iterdir()) == []
    make(archive, out, lock)
    with pytest.raises(KeyboardInterrupt):
        make(archive, out, lock, Fail(how="interrupt"))
    check_sums(out)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(archive: Archive, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=True)
    try:
        error = refused(archive, disk / "out", lock_of(archive), Write(size=1 << 20))
        assert error.code == "image.build.no-space"
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_no_build_made_stays(archive: Archive, tmp_path: Path) -> None:
    lock = lock_of(archive)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/text").write_text("years of work")
    (tmp_path / "file").write_text("text")
    for name in ("thesis", "file"):
        assert refused(archive, tmp_path / name, lock).code == "image.build.out"
    assert (tmp_path / "thesis/text").read_text() == "years of work"
    assert not (tmp_path / "cache").exists(), "it is said before anything is done"
    (tmp_path / "empty").mkdir()
    make(archive, tmp_path / "empty", lock)
    check_sums(tmp_path / "empty")


def test_a_link_is_followed(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "other disk").mkdir()
    (tmp_path / "out").symlink_to("other disk")
    make(archive, tmp_path / "out", lock_of(archive))
    assert (tmp_path / "out").is_symlink()
    check_sums(tmp_path / "other disk")


def test_a_place_below_a_file(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused(archive, tmp_path / "file/small/amd64", lock_of(archive))
    assert (error.code, error.exit_status) == ("image.build.place", 4)
    assert str(tmp_path / "file") in str(error.found)


def test_a_cache_that_cannot_be_written(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    error = refused(archive, tmp_path / "images/out", lock_of(archive))
    assert error.code == "image.build.place"
    assert "POWERNODE_CACHE" in str(error.hint)
    assert list((tmp_path / "images").iterdir()) == []


def test_many_builds_of_one_output(archive: Archive, tmp_path: Path) -> None:
    """Each succeeds; at every moment, and in the end, there is a whole build or none."""
    lock, out = lock_of(archive), tmp_path / "images/out"
    make(archive, out, lock)
    fork = multiprocessing.get_context("fork")
    running = [fork.Process(target=_build_often, args=(archive, out, lock)) for _ in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0] * 4
    check_sums(out)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def _build_often(archive: Archive, out: Path, lock: Lock) -> None:
    for _ in range(10):
        make(archive, out, lock)


def test_a_wrong_digest(archive: Archive, tmp_path: Path) -> None:
    lock = lock_of(archive)
    path = archive.path(lock.package(KERNEL).filename)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert refused(archive, tmp_path / "images/out", lock).code == "debian.input.digest"
    assert list((tmp_path / "images").iterdir()) == []


def test_a_pin_that_is_gone(archive: Archive, tmp_path: Path) -> None:
    lock = lock_of(archive)
    archive.path(lock.package(KERNEL).filename).unlink()
    error = refused(archive, tmp_path / "out", lock)
    assert (error.code, error.found) == ("debian.input.gone", f"{KERNEL} 2")
    assert "powernode image lock --arch" in str(error.hint)


@pytest.mark.parametrize(
    ("option", "floor", "named"),
    [
        ("CONFIG_FS_VERITY=y", "kernel-verity", "CONFIG_FS_VERITY"),
        ("CONFIG_EROFS_FS_BACKED_BY_FILE=y", "userspace", "CONFIG_EROFS_FS_BACKED_BY_FILE"),
        ("CONFIG_OVERLAY_FS=m", "userspace", "CONFIG_OVERLAY_FS"),
    ],
)
def test_a_kernel_below_the_floor(archive: Archive, tmp_path: Path, option: str, floor: str, named: str) -> None:
    lock = lock_of(archive, GOOD.replace(f"{option}\n", ""))
    error = refused(archive, tmp_path / "images/out", lock, kernel_step(floor))
    assert error.code == "image.kernel.enforcement"
    assert named in str(error.expected)
    assert list((tmp_path / "images").iterdir()) == []
    make(archive, tmp_path / "images/out", lock, kernel_step("none"))
    assert json.loads((tmp_path / "images/out" / MANIFEST).read_text())["kernel"]["enforcement"] != "kernel-verity"


def test_a_missing_device_tree(archive: Archive, tmp_path: Path) -> None:
    error = refused(archive, tmp_path / "out", lock_of(archive), kernel_step(dtb="maker/other.dtb"))
    assert (error.code, error.expected) == ("image.kernel.dtb", "maker/other.dtb")


def test_a_package_that_is_no_kernel(archive: Archive, tmp_path: Path) -> None:
    lock = lock_of(archive)
    archive.put("busybox-static", kernel_deb())
    step = TakeKernel(package="busybox-static", floor="none", dtb=None, cmdline="")
    assert refused(archive, tmp_path / "out", lock, step).code == "debian.input.digest"
    assert refused(archive, tmp_path / "out", lock_of(archive), step).code == "image.kernel.package"
