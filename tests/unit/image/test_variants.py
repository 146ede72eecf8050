# SPDX-License-Identifier: MIT
"""Plans of the real variants from the committed locks: complete, the same from any place, made without downloading."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.debian import lock as locks
from powernode.debian.lock import Lock
from powernode.image import variants
from powernode.image.plan import Plan
from powernode.image.request import CHECKOUT, Options, make
from unit.image._small_builds import ARCH, module_in

OTHER = {"amd64": "arm64", "arm64": "amd64"}[ARCH]
PARTS = ("board", "csrc", "initramfs", "src/powernode")


def lock(arch: str) -> Lock:
    return locks.parse((CHECKOUT / locks.path_of(arch)).read_bytes())


def plan(options: Options, checkout: Path = CHECKOUT) -> Plan:
    request = make(options, checkout)
    return variants.plan("kernel-initrd", request, lock(options.arch), lock(ARCH), checkout)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy, so that nobody changes it meanwhile."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "images")
    for part in PARTS:
        shutil.copytree(CHECKOUT / part, tmp_path / "checkout" / part, ignore=ignored)
    return tmp_path / "checkout"


@pytest.mark.parametrize("arch", locks.ARCHITECTURES)
def test_every_input_is_in_it(arch: str) -> None:
    found = plan(Options(arch=arch))
    pinned = lock(arch)
    for package in (*pinned.group("kernel-cloud"), *pinned.group("initramfs")):
        assert f"{package.name} {package.version} {package.architecture} {package.sha256}" in found.packages
    assert any(f" {ARCH} " in line for line in found.packages), "the interpreter that compiles"
    assert [type(step).__name__ for step in found.steps] == ["TakeKernel", "AssembleInitramfs"]


def test_a_module_brings_a_disk_and_a_set(tmp_path: Path) -> None:
    module = module_in(tmp_path)
    found = plan(Options(arch=ARCH, modules=(module.directory,)))
    steps = json.loads(json.dumps(found.as_dict()))["steps"]
    assert steps[2]["modules"] == [f"tiny 1 {module.digest}"]
    assert "etc/powernode/base.set" in steps[1]["files"]
    assert found.digest != plan(Options(arch=ARCH)).digest


def test_another_place_and_mood_make_the_same_plan(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "with a space/und ümläut"
    shutil.copytree(checkout, other)
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode | 0o111)
    first = plan(Options(arch=OTHER), checkout)
    monkeypatch.chdir(other)
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    again = plan(Options(arch=OTHER), other)
    assert (again.digest, again.as_dict()) == (first.digest, first.as_dict())


@pytest.mark.parametrize(
    "name", ["initramfs/init", "initramfs/kernel-modules/common.list", "csrc/common.c", "src/powernode/__init__.py"]
)
def test_what_goes_in_is_part_of_it(checkout: Path, name: str) -> None:
    before = plan(Options(arch=ARCH), checkout)
    with open(checkout / name, "ab") as file:
        file.write(b"\n")
    assert plan(Options(arch=ARCH), checkout).digest != before.digest


def refused(options: Options, checkout: Path = CHECKOUT) -> PowernodeError:
    with pytest.raises(PowernodeError) as caught:
        plan(options, checkout)
    return caught.value


@pytest.mark.parametrize(
    ("group", "code"),
    [
        ("kernel-large", "debian.lock.group"),
        ("initramfs", "image.request.kernel"),
        ("system-base", "image.request.kernel"),
    ],
)
def test_a_group_that_is_no_kernel(group: str, code: str) -> None:
    assert refused(Options(arch=ARCH, kernel=group)).code == code


def test_lists_of_modules_are_read_when_it_is_made(checkout: Path) -> None:
    path = checkout / "initramfs/kernel-modules/qemu.list"
    path.write_text("two words here\n")
    assert refused(Options(arch=ARCH), checkout).code == "image.kernel.list"
    path.unlink()
    error = refused(Options(arch=ARCH), checkout)
    assert error.code == "image.initramfs.list"
    assert "qemu.list" in error.message


def test_there_is_no_such_variant() -> None:
    with pytest.raises(PowernodeError) as caught:
        variants.plan("floppy", make(Options(arch=ARCH)), lock(ARCH), lock(ARCH))
    assert (caught.value.code, caught.value.found) == ("image.variant", "'floppy'")
    assert "kernel-initrd" in str(caught.value.expected)
