# SPDX-License-Identifier: MIT
"""What was changed in a build is named: the artifact, the first byte, the file inside and where that came from."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from powernode.archive import cpio
from powernode.image.build import build
from powernode.image.compare import Difference, Origins, compare
from powernode.image.manifest import MANIFEST, SUMS
from powernode.image.pack import unpack
from powernode.image.plan import Step
from powernode.image.steps.initramfs import INITRAMFS
from powernode.image.steps.kernel import TakeKernel
from powernode.image.steps.persist import PERSIST, WritePersist
from powernode.module.directory import Module, merge_root
from unit.image._small_builds import (
    CODE,
    KERNEL,
    MODULE,
    PackSome,
    lock_of,
    module_in,
    needs_e2fsprogs,
    plan_of,
    repack,
    serve,
    sources,
)


@dataclass(frozen=True)
class Pair:
    """A build, and one that somebody may have changed."""

    new: Path
    old: Path
    origins: Origins

    def differences(self) -> list[Difference]:
        return list(compare(self.old, self.new, self.origins))

    def only(self) -> Difference:
        (found,) = self.differences()
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Origins]:
    folder = tmp_path_factory.mktemp("compare")
    modules = [module_in(folder, "tiny"), module_in(folder, "site", priority=2000)]
    with serve(folder / "archive") as archive:
        lock = lock_of(archive)
        kernel = TakeKernel(package=KERNEL, floor="none", dtb="maker/board.dtb", cmdline="quiet")
        steps: list[Step] = [kernel, PackSome(init="x"), *disk_of(modules)]
        used = sources(lock, folder / "cache", archive)
        build(plan_of(*steps, lock=lock), used, folder / "out", report=lambda _: None)
        packages = {f"{item.name} {item.version}": used.inputs.tree(item.name) for item in used.inputs.used}
    return folder / "out", Origins(board="qemu", packages=packages, modules=modules)


def disk_of(modules: list[Module]) -> list[WritePersist]:
    if shutil.which("mke2fs", path="/usr/sbin:/sbin") is None:
        return []
    root = merge_root(modules)
    names = tuple(item.facts.name for item in modules)
    return [
        WritePersist(root_digest=str(root.digest), modules=names, room_mib=1, merged=root, directories=tuple(modules))
    ]


@pytest.fixture
def pair(made: tuple[Path, Origins], tmp_path: Path) -> Pair:
    shutil.copytree(made[0], tmp_path / "old")
    return Pair(new=made[0], old=tmp_path / "old", origins=made[1])


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x01
    path.write_bytes(data)


def test_equal_builds(pair: Pair) -> None:
    assert pair.differences() == []


@pytest.mark.parametrize(
    ("name", "offset", "origin"),
    [
        ("vmlinuz", 7777, f"{KERNEL} 1"),
        ("board.dtb", 0, f"{KERNEL} 1"),
        ("cmdline", 5, "board/qemu/board.toml"),
        (MANIFEST, 3, "the plan, the tools or the inputs it lists"),
    ],
)
def test_one_byte(pair: Pair, name: str, offset: int, origin: str) -> None:
    flip(pair.old / name, offset)
    assert pair.only() == Difference(artifact=name, offset=offset, inside=None, origin=origin)
    assert pair.only().describe() == f"{name} differs from byte {offset} on; it comes from {origin}"


def test_a_byte_in_a_later_chunk(pair: Pair, tmp_path: Path) -> None:
    for folder, last in ((tmp_path / "a", b"x"), (tmp_path / "b", b"y")):
        folder.mkdir()
        (folder / "vmlinuz").write_bytes(bytes((1 << 20) + 5) + last)
    (found,) = compare(tmp_path / "a", tmp_path / "b", pair.origins)
    assert found.offset == (1 << 20) + 5


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\n"], ids=["shorter", "longer"])
def test_another_length(pair: Pair, change: Callable[[bytes], bytes]) -> None:
    data = (pair.new / "cmdline").read_bytes()
    (pair.old / "cmdline").write_bytes(change(data))
    assert pair.only().offset == min(len(data), len(change(data)))


def test_a_file_more_or_less(pair: Pair) -> None:
    (pair.old / "more").write_bytes(b"")
    (pair.old / "cmdline").unlink()
    (pair.old / "vmlinuz").unlink()
    (pair.old / "vmlinuz").symlink_to(pair.new / "vmlinuz")
    found = {item.artifact: item.origin for item in pair.differences()}
    less = "the new build: the old one has no such file"
    assert found == {"more": "no input: only that build has it", "cmdline": less, "vmlinuz": less}


def test_everything_is_named_and_the_manifest_is_not_repeated(pair: Pair) -> None:
    for name in ("vmlinuz", "cmdline", MANIFEST, SUMS):
        flip(pair.old / name, 1)
    assert [item.artifact for item in pair.differences()] == ["cmdline", "vmlinuz"]


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("init", "initramfs/init"),
        ("usr/bin/busybox", "busybox-static 1"),
        (MODULE, f"{KERNEL} 1"),
        (CODE, "src/powernode/agent/boot.py"),
        ("usr/lib/powernode/libpowernode.so", "csrc"),
        ("etc/powernode/config.json", "the configuration"),
        ("usr/bin/backdoor", "no input: only that build has it"),
    ],
)
def test_a_file_of_the_initramfs(pair: Pair, path: str, origin: str) -> None:
    packed = pair.old / INITRAMFS
    packed.write_bytes(repack(packed.read_bytes(), [cpio.file(path, b"changed")]))
    assert (pair.only().inside, pair.only().origin) == (path, origin)


def test_a_mode_and_an_absence(pair: Pair) -> None:
    packed = pair.old / INITRAMFS
    good = packed.read_bytes()
    init = next(entry for entry in unpack(good) if entry.path == "init")
    packed.write_bytes(repack(good, [cpio.file("init", init.data, 0o4755)]))
    assert pair.only().inside == "init"
    packed.write_bytes(repack(good, [], without=CODE))
    assert (pair.only().inside, pair.only().origin) == (CODE, "src/powernode/agent/boot.py")


def test_the_same_files_packed_differently(pair: Pair) -> None:
    packed = pair.old / INITRAMFS
    packed.write_bytes(repack(packed.read_bytes(), []))
    assert (pair.only().inside, pair.only().origin) == (
        None,
        "the order or the compression of files that are the same",
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"no zstd", zstandard.compress(b"no cpio" * 100), b"\x28\xb5\x2f\xfd" + bytes(100)],
    ids=["empty", "text", "no-cpio", "zeros"],
)
def test_an_initramfs_that_is_none(pair: Pair, data: bytes) -> None:
    (pair.old / INITRAMFS).write_bytes(data)
    found = pair.only()
    assert found.artifact == INITRAMFS
    assert found.inside is not None if not data else "cannot be unpacked" in found.origin


def test_names_cannot_reach_the_terminal(pair: Pair) -> None:
    out = io.BytesIO()
    cpio.write(out, [cpio.file("\x1b[2Jhello", b"")], mtime=0)
    packed = pair.old / INITRAMFS
    packed.write_bytes(packed.read_bytes() + zstandard.compress(out.getvalue()))
    assert "hello" in str(pair.only().inside)
    assert pair.only().describe().isprintable()


@needs_e2fsprogs
def test_an_object_on_the_disk(pair: Pair) -> None:
    for module in pair.origins.modules:
        name = next(path.name for path in module.objects.rglob("*") if path.is_file())
        content = next(path.read_bytes() for path in module.objects.rglob("*") if path.is_file())
        shutil.copyfile(pair.new / PERSIST, pair.old / PERSIST)
        offset = (pair.new / PERSIST).read_bytes().index(content) + 4100
        flip(pair.old / PERSIST, offset)
        found = pair.only()
        assert found.offset == offset
        assert str(found.inside).startswith("/var/lib/powernode/objects/")
        assert str(found.inside).endswith(name)
        assert found.origin == f"module {module.facts.name} 1"


@needs_e2fsprogs
def test_images_and_what_is_between_on_the_disk(pair: Pair) -> None:
    root = merge_root(list(pair.origins.modules))
    disk = (pair.new / PERSIST).read_bytes()
    module = pair.origins.modules[0]
    for image, origin in (
        (root.image, "the root that tiny, site make"),
        (module.image.read_bytes(), "module tiny 1"),
    ):
        shutil.copyfile(pair.new / PERSIST, pair.old / PERSIST)
        flip(pair.old / PERSIST, disk.index(image) + 1024)
        assert pair.only().origin == origin
        assert str(pair.only().inside).endswith(".erofs")
    shutil.copyfile(pair.new / PERSIST, pair.old / PERSIST)
    flip(pair.old / PERSIST, 1024 + 0x78)  # the label in the superblock
    assert (pair.only().offset, pair.only().inside) == (1144, None)
    assert "e2fsprogs" in pair.only().origin
