# SPDX-License-Identifier: MIT
"""Steps on their own: what they refuse before they do what takes long. Whole builds: test_build, tests/repro."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.image.build import build
from powernode.image.manifest import MANIFEST
from powernode.image.plan import Step
from powernode.image.request import CHECKOUT, Options, make
from powernode.image.steps.initramfs import AssembleInitramfs
from powernode.image.steps.persist import PERSIST, WritePersist
from powernode.module.directory import merge_root
from unit.image._small_builds import (
    ARCH,
    KERNEL,
    Archive,
    lock_of,
    module_in,
    needs_e2fsprogs,
    plan_of,
    serve,
    sources,
)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with serve(tmp_path / "archive") as server:
        yield server


def run(archive: Archive, out: Path, step: Step) -> None:
    lock = lock_of(archive)
    build(plan_of(step, lock=lock), sources(lock, out.parent / "cache", archive), out, report=lambda _: None)


def test_a_module_that_the_kernel_lacks_is_named_before_anything_is_compiled(archive: Archive, tmp_path: Path) -> None:
    step = AssembleInitramfs.of(make(Options(arch=ARCH)), KERNEL, ["busybox-static"], CHECKOUT)
    with pytest.raises(PowernodeError) as caught:
        run(archive, tmp_path / "out", step)
    assert caught.value.code == "image.kernel.module"
    assert not (tmp_path / "cache/native").exists()
    assert not (tmp_path / "out").exists()


def test_what_goes_in_is_digested(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"keys")
    (tmp_path / "others").write_bytes(b"others")

    def files(name: str) -> dict[str, str]:
        request = make(Options(arch=ARCH, fleet_root=tmp_path / name))
        return dict(AssembleInitramfs.of(request, KERNEL, [], CHECKOUT).files)

    assert files("keys").keys() == {"etc/powernode/config.json", "etc/powernode/fleet-root.pem"}
    assert files("keys") != files("others")


@needs_e2fsprogs
def test_the_disk(archive: Archive, tmp_path: Path) -> None:
    modules = [module_in(tmp_path, "site", priority=2000), module_in(tmp_path, "base")]
    root = merge_root(modules)
    step = WritePersist.of(make(Options(arch=ARCH, modules=tuple(item.directory for item in modules), room_mib=1)))
    run(archive, tmp_path / "out", step)
    disk = (tmp_path / "out" / PERSIST).read_bytes()
    document = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert document["root"]["digest"] == str(root.digest)
    assert [line.split()[0] for line in document["root"]["modules"]] == ["site", "base"]
    assert document["tools"]["e2fsprogs"]
    assert root.image in disk
    assert all(module.image.read_bytes() in disk for module in modules)
    assert str(root.digest) in step.describe()
