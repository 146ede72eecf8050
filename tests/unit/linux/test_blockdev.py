# SPDX-License-Identifier: MIT
"""Block devices in a sysfs of our own, superblocks of our own and of the real tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.linux.blockdev import BlockDevice, devices, labelled, probe
from unit.linux._superblocks import UUID, ext4, fat32


def put(tmp_path: Path, name: str, content: bytes, sectors: int = 131072, ro: int = 0) -> None:
    folder = tmp_path / "sys/class/block" / name.replace("/", "!")
    folder.mkdir(parents=True)
    (folder / "size").write_text(f"{sectors}\n")
    (folder / "ro").write_text(f"{ro}\n")
    path = tmp_path / "dev" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sysfs(tmp_path: Path) -> tuple[str, str]:
    return str(tmp_path / "sys"), str(tmp_path / "dev")


def test_devices_are_listed_by_name(tmp_path: Path) -> None:
    put(tmp_path, "vdb", b"", ro=1)
    put(tmp_path, "vda1", b"", sectors=8)
    put(tmp_path, "loop0", b"", sectors=0)
    put(tmp_path, "cciss/c0d0", b"")
    sys, dev = sysfs(tmp_path)
    assert devices(sys=sys, dev=dev) == [
        BlockDevice(name="cciss!c0d0", path=f"{dev}/cciss/c0d0", size_bytes=64 << 20, read_only=False),
        BlockDevice(name="vda1", path=f"{dev}/vda1", size_bytes=4096, read_only=False),
        BlockDevice(name="vdb", path=f"{dev}/vdb", size_bytes=64 << 20, read_only=True),
    ]


def test_no_sysfs_is_no_device(tmp_path: Path) -> None:
    assert devices(sys=str(tmp_path), dev=str(tmp_path)) == []


def test_labels_find_their_devices(tmp_path: Path) -> None:
    put(tmp_path, "vda", b"\0" * 8192)
    put(tmp_path, "vda1", fat32())
    put(tmp_path, "vda2", ext4())
    sys, dev = sysfs(tmp_path)
    assert [device.name for device, _ in labelled("persist", sys=sys, dev=dev)] == ["vda2"]
    assert [device.name for device, _ in labelled("BOOT", sys=sys, dev=dev)] == ["vda1"]
    assert list(labelled("other", sys=sys, dev=dev)) == []


def test_a_device_that_has_gone_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "vda", ext4())
    put(tmp_path, "vdb", ext4())
    os.unlink(tmp_path / "dev/vda")
    sys, dev = sysfs(tmp_path)
    assert [device.name for device, _ in labelled("persist", sys=sys, dev=dev)] == ["vdb"]


def probed(tmp_path: Path, content: bytes) -> object:
    (tmp_path / "image").write_bytes(content)
    return probe(str(tmp_path / "image"))


def test_ext4_superblock(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(ext4(size=20 << 40, state=2, mounts=7, mounts_max=5))
    found = probe(str(tmp_path / "image"))
    assert found is not None
    assert (found.kind, found.label, found.uuid) == ("ext4", "persist", UUID)
    assert (found.size_bytes, found.block_size) == (20 << 40, 4096)
    assert (found.is_clean, found.has_errors, found.mounts, found.mounts_max) == (False, True, 7, 5)
    assert found.features == {"has_journal", "64bit", "metadata_csum", "verity"}
    assert found.written_s == 1_700_000_000


def test_the_label_in_the_root_folder_of_fat_counts(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(fat32("OLD", root_label="BOOT"))
    found = probe(str(tmp_path / "image"))
    assert found is not None
    assert (found.kind, found.label, found.uuid) == ("vfat", "BOOT", "ABCD-1234")
    assert found.size_bytes == 4096 * 512


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 1500, b"\x55\xaa" * 4096, ext4()[:2000], fat32()[:500], b"\xff" * 8192],
    ids=["empty", "short", "aa55", "cut-ext4", "cut-fat", "ones"],
)
def test_what_is_no_filesystem(tmp_path: Path, content: bytes) -> None:
    assert probed(tmp_path, content) is None


@given(base=st.sampled_from([ext4(), fat32()]), flips=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255))))
def test_damaged_superblocks_never_crash(
    tmp_path_factory: pytest.TempPathFactory, base: bytes, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(base)
    for at, value in flips:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data)
    found = probe(str(path))
    assert found is None or (found.size_bytes >= 0 and len(found.label) <= 16)


def tool(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"no {name} here")
    return path


def test_what_mke2fs_writes(tmp_path: Path) -> None:
    image = tmp_path / "image"
    options = ["-q", "-t", "ext4", "-O", "verity", "-b", "4096", "-L", "persist", "-U", UUID]
    subprocess.run([tool("mke2fs"), *options, str(image), "9M"], check=True)
    found = probe(str(image))
    assert found is not None
    assert (found.kind, found.label, found.uuid, found.size_bytes) == ("ext4", "persist", UUID, 9 << 20)
    assert {"verity", "has_journal", "resize_inode"} <= found.features
    assert found.is_clean
    assert not found.has_errors


@pytest.mark.parametrize(("bits", "size"), [("16", "16M"), ("32", "64M")])
def test_what_mkfs_fat_writes(tmp_path: Path, bits: str, size: str) -> None:
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(int(size[:-1]) << 20)
    subprocess.run([tool("mkfs.fat"), "-F", bits, "-n", "BOOT", "-i", "abcd1234", str(image)], check=True)
    found = probe(str(image))
    assert found is not None
    assert (found.kind, found.label, found.uuid) == ("vfat", "BOOT", "ABCD-1234")
    assert found.size_bytes == int(size[:-1]) << 20
