# SPDX-License-Identifier: MIT
"""Whatever was changed on the disk while the machine was off: what it refuses, with which code, and what it still runs.

The table of docs/boot.md, a row each. Two preflights: `stamped` leaves files to the kernel, which refuses them when
they are read; `full` proves every object at every boot and refuses the set.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from powernode.composefs.store import object_path
from powernode.image.persistdisk import node_files
from powernode.image.persistdisk import write as write_disk
from powernode.image.qemu import Disk, copy_disk
from powernode.image.request import Options
from powernode.module.directory import Module, Root, merge_root
from powernode.signing import keys
from powernode.signing.sets import sign_set
from powernode.verity import digest_buffer
from powernode.wire.bootset import ANY_INSTANCE, BootSet, ModuleRef, RootPolicy
from vm._disk import HOME, DiskEditor
from vm._images import HOST_ARCH, Booted, boot, kernel_initrd, machine, panicking_module, tiny_module


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Two images that differ in their preflight, and the sealed disk of a first boot."""

    stamped: Path
    full: Path
    sealed: Path
    private_pem: bytes
    tiny: Module
    panics: Module
    root: Root

    @property
    def image(self) -> str:
        return f"{HOME}/images/{self.root.digest.hex}.erofs"

    def object_of(self, number: int) -> str:
        data = f"tiny file {number}\n".encode() * 1500
        return f"{HOME}/objects/{object_path(digest_buffer(data).value)}"

    def init(self) -> str:
        data = (self.tiny.directory.parent / "tiny-tree/usr/sbin/init").read_bytes()
        return f"{HOME}/objects/{object_path(digest_buffer(data).value)}"

    def signed(self, module: Module, private_pem: bytes) -> bytes:
        boot_set = BootSet(
            serial=7,
            instance=ANY_INSTANCE,
            not_after=None,
            root_digest=module.digest,
            root_policy=RootPolicy.EPHEMERAL,
            modules=(ModuleRef(name=module.facts.name, version="1", digest=module.digest),),
        )
        return sign_set(boot_set, private_pem)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("tamper")
    private_pem, public_pem = keys.generate("ed25519")
    (folder / "fleet.pem").write_bytes(public_pem)
    tiny, panics = tiny_module(folder, HOST_ARCH), panicking_module(folder, HOST_ARCH)
    built = {}
    for preflight in ("stamped", "full"):
        config = folder / f"{preflight}.json"
        config.write_text(f'{{"preflight":"{preflight}"}}')
        built[preflight] = kernel_initrd(
            Options(
                arch=HOST_ARCH,
                modules=(tiny.directory,),
                config=config,
                fleet_root=folder / "fleet.pem",
                room_mib=16,
            )
        )
    sealed = folder / "sealed.img"
    # Also the module that panics is on the disk, so that a pending set can name it.
    files = {**node_files([panics], merge_root([panics]), {}), **node_files([tiny], merge_root([tiny]), {})}
    write_disk(sealed, files, room_bytes=16 << 20)
    first = boot(machine(built["stamped"], HOST_ARCH, disks=[Disk(path=sealed, throw_away=False)]))
    assert first.report["root"]["enforcement"] == "kernel-verity"
    return Fleet(
        stamped=built["stamped"],
        full=built["full"],
        sealed=sealed,
        private_pem=private_pem,
        tiny=tiny,
        panics=panics,
        root=merge_root([tiny]),
    )


@pytest.fixture
def disk(fleet: Fleet, tmp_path: Path) -> DiskEditor:
    copy_disk(fleet.sealed, tmp_path / "disk.img")
    return DiskEditor(tmp_path / "disk.img")


def start(folder: Path, disk: DiskEditor, append: str = "") -> Booted:
    return boot(machine(folder, HOST_ARCH, disks=[Disk(path=disk.path, throw_away=False)], append=append))


def assert_runs_all(booted: Booted) -> None:
    assert booted.report["root"]["enforcement"] == "kernel-verity"
    assert not [name for name in booted.results if name.startswith("refused:")]


def assert_nothing_runs(booted: Booted, code: str) -> None:
    assert ("base", code) in booted.refused, booted.refused
    assert "report" not in booted.results
    assert any("NOTHING IT MAY BOOT" in line for line in booted.lines)


def test_untouched(fleet: Fleet, disk: DiskEditor) -> None:
    assert_runs_all(start(fleet.stamped, disk))
    assert_runs_all(start(fleet.full, disk))


def test_object_changed_in_place(fleet: Fleet, disk: DiskEditor) -> None:
    disk.flip(fleet.object_of(2), offset=9000)
    booted = start(fleet.stamped, disk)
    assert booted.results["refused:002"] == "Input/output error"
    assert [name for name in booted.results if name.startswith("refused:")] == ["refused:002"]
    assert_nothing_runs(start(fleet.full, disk), "boot.object-unreadable")


def test_first_program_changed_in_place(fleet: Fleet, disk: DiskEditor) -> None:
    disk.flip(fleet.init(), offset=0)
    assert_nothing_runs(start(fleet.stamped, disk), "boot.preflight-unreadable")
    assert_nothing_runs(start(fleet.full, disk), "boot.object-unreadable")


def test_object_swapped_for_another_of_the_same_size(fleet: Fleet, disk: DiskEditor) -> None:
    disk.swap(fleet.object_of(1), fleet.object_of(2))
    booted = start(fleet.stamped, disk)
    assert {booted.results[f"refused:00{number}"] for number in (1, 2)} == {"Input/output error"}
    assert_nothing_runs(start(fleet.full, disk), "boot.object-digest")


def test_object_without_verity(fleet: Fleet, disk: DiskEditor) -> None:
    path = fleet.object_of(3)
    disk.write(path, disk.read(path)[:-1] + b"!")
    booted = start(fleet.stamped, disk)
    assert booted.results["refused:003"] == "Input/output error"
    assert_nothing_runs(start(fleet.full, disk), "boot.object-digest")


def test_missing_object(fleet: Fleet, disk: DiskEditor) -> None:
    disk.remove(fleet.object_of(4))
    booted = start(fleet.stamped, disk)
    assert [name for name in booted.results if name.startswith("refused:")] == ["refused:004"]
    assert_nothing_runs(start(fleet.full, disk), "boot.object-missing")


def test_image_changed_in_place(fleet: Fleet, disk: DiskEditor) -> None:
    disk.flip(fleet.image, offset=1100)
    assert_nothing_runs(start(fleet.stamped, disk), "composefs.mount.image-unreadable")


def test_truncated_image(fleet: Fleet, disk: DiskEditor) -> None:
    disk.write(fleet.image, disk.read(fleet.image)[:-4096])
    assert_nothing_runs(start(fleet.stamped, disk), "boot.image-digest")


def test_another_image_of_the_same_name(fleet: Fleet, disk: DiskEditor) -> None:
    disk.write(fleet.image, fleet.panics.image.read_bytes())
    assert_nothing_runs(start(fleet.stamped, disk), "boot.image-digest")


def test_wrong_digest_on_the_command_line(fleet: Fleet, disk: DiskEditor) -> None:
    booted = start(fleet.stamped, disk, f"powernode.root_digest={'0' * 64}")
    assert_nothing_runs(booted, "boot.root-digest")
    assert_runs_all(start(fleet.stamped, disk, f"powernode.root_digest={fleet.root.digest.hex}"))


def stage(disk: DiskEditor, envelope: bytes) -> None:
    """As an update would leave it."""
    name = f"{hashlib.sha256(envelope).hexdigest()}.json"
    disk.write(f"{HOME}/sets/{name}", envelope)
    disk.symlink(f"{HOME}/sets/pending", name)


@pytest.mark.parametrize("defect", ["unsigned", "signed by another"])
def test_pending_set_nobody_may_trust(fleet: Fleet, disk: DiskEditor, defect: str) -> None:
    if defect == "unsigned":
        envelope, code = _unsigned(fleet.signed(fleet.panics, fleet.private_pem)), "trust.dsse.unsigned"
    else:
        envelope, code = fleet.signed(fleet.panics, keys.generate("ed25519")[0]), "trust.dsse.signature"
    stage(disk, envelope)
    booted = start(fleet.stamped, disk)
    assert booted.refused == [("pending", code)]
    assert_runs_all(booted)
    assert booted.report["root"]["kind"] == "base"


def test_pending_set_that_panics(fleet: Fleet, disk: DiskEditor) -> None:
    stage(disk, fleet.signed(fleet.panics, fleet.private_pem))
    for _ in range(3):
        booted = start(fleet.stamped, disk)
        assert any("Attempted to kill init" in line for line in booted.lines), booted.lines[-20:]
    booted = start(fleet.stamped, disk)
    assert_runs_all(booted)
    assert booted.report["root"]["kind"] == "base"
    assert [item["kind"] for item in booted.report["choice"]["left_out"]] == ["pending"]


def _unsigned(envelope: bytes) -> bytes:
    document = json.loads(envelope)
    document["signatures"] = []
    return json.dumps(document).encode()
