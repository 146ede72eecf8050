# SPDX-License-Identifier: MIT
"""Block devices and the filesystems on them, found without udev: sysfs says which there are, superblocks what is there.

Invariants: of every device a few kilobytes are read, whatever is written there; what cannot be read or is no
filesystem we know is passed over; the order is that of the names, so the same machine gives the same answer.

Out of scope: waiting for devices to appear, mounting, partition tables, deciding between two with one label.

    for device, filesystem in labelled("persist", sys="/sys", dev="/dev"):
        print(device.path, filesystem.kind, filesystem.size_bytes)
"""

from __future__ import annotations

import os
import struct

from powernode.base.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BlockDevice", "Filesystem", "devices", "labelled", "probe"]

_SECTOR = 512
_HEAD_BYTES = 4096
_EXT4_OFFSET = 1024
_EXT4_MAGIC = 0xEF53
_FAT_CLUSTER_MAX = 1 << 16
_FAT_VOLUME_LABEL = 0x08
_FAT_LONG_NAME = 0x0F

_CLEAN, _ERRORS = 1, 2
_COMPATIBLE = {0x4: "has_journal", 0x10: "resize_inode"}
_INCOMPATIBLE = {0x4: "needs_recovery", 0x10: "meta_bg", 0x80: "64bit", 0x10000: "encrypt"}
_READ_ONLY_COMPATIBLE = {0x400: "metadata_csum", 0x8000: "verity"}
_IS_64BIT = 0x80


class BlockDevice(Value):
    """A disk or partition as sysfs describes it."""

    __slots__ = ("name", "path", "read_only", "size_bytes")

    def __init__(self, *, name: str, path: str, size_bytes: int, read_only: bool) -> None:
        self.name = name
        self.path = path
        self.size_bytes = size_bytes
        self.read_only = read_only


class Filesystem(Value):
    """What a superblock says. For vfat everything behind `uuid` but the block size is empty."""

    __slots__ = (
        "block_size",
        "features",
        "has_errors",
        "is_clean",
        "kind",
        "label",
        "mounts",
        "mounts_max",
        "size_bytes",
        "uuid",
        "written_s",
    )

    def __init__(
        self,
        *,
        kind: str,
        label: str,
        uuid: str,
        size_bytes: int,
        block_size: int,
        features: frozenset[str] = frozenset(),
        is_clean: bool = True,
        has_errors: bool = False,
        mounts: int = 0,
        mounts_max: int = -1,
        written_s: int = 0,
    ) -> None:
        self.kind = kind
        self.label = label
        self.uuid = uuid
        self.size_bytes = size_bytes
        self.block_size = block_size
        self.features = features
        self.is_clean = is_clean
        self.has_errors = has_errors
        self.mounts = mounts
        self.mounts_max = mounts_max
        """Negative: no check is due after any number of mounts."""
        self.written_s = written_s
        """When something was last written, in seconds since 1970: time has not gone back behind that."""


def devices(*, sys: str, dev: str) -> list[BlockDevice]:
    """Every block device with a size, by name."""
    folder = f"{sys}/class/block"
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        sectors = _number(f"{folder}/{name}/size")
        if sectors:  # loop and ram devices without content have none
            path = f"{dev}/{name.replace('!', '/')}"
            read_only = _number(f"{folder}/{name}/ro") == 1
            found.append(BlockDevice(name=name, path=path, size_bytes=sectors * _SECTOR, read_only=read_only))
    return found


def labelled(label: str, *, sys: str, dev: str) -> Iterator[tuple[BlockDevice, Filesystem]]:
    """The devices whose filesystem has this label."""
    for device in devices(sys=sys, dev=dev):
        filesystem = probe(device.path)
        if filesystem is not None and filesystem.label == label:
            yield device, filesystem


def probe(path: str) -> Filesystem | None:
    """The filesystem on a device or in an image file; None if there is none we know, or it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        head = os.pread(fd, _HEAD_BYTES, 0)
        return _ext4(head) or _vfat(head, fd)
    except OSError:
        return None
    finally:
        os.close(fd)


def _ext4(head: bytes) -> Filesystem | None:
    block = head[_EXT4_OFFSET : _EXT4_OFFSET + 1024]
    if len(block) < 1024 or struct.unpack_from("<H", block, 0x38)[0] != _EXT4_MAGIC:
        return None
    shift = struct.unpack_from("<I", block, 0x18)[0]
    if shift > 6:  # 64 KiB blocks are the largest there are
        return None
    blocks = struct.unpack_from("<I", block, 0x4)[0]
    written_s = struct.unpack_from("<I", block, 0x30)[0]
    mounts, mounts_max = struct.unpack_from("<Hh", block, 0x34)
    state = struct.unpack_from("<H", block, 0x3A)[0]
    compatible, incompatible, read_only_compatible = struct.unpack_from("<III", block, 0x5C)
    if incompatible & _IS_64BIT:
        blocks |= struct.unpack_from("<I", block, 0x150)[0] << 32
    return Filesystem(
        kind="ext4",
        label=_text(block[0x78:0x88]),
        uuid=_uuid(block[0x68:0x78]),
        size_bytes=blocks << (10 + shift),
        block_size=1024 << shift,
        features=frozenset(
            name
            for bits, names in (
                (compatible, _COMPATIBLE),
                (incompatible, _INCOMPATIBLE),
                (read_only_compatible, _READ_ONLY_COMPATIBLE),
            )
            for bit, name in names.items()
            if bits & bit
        ),
        is_clean=bool(state & _CLEAN),
        has_errors=bool(state & _ERRORS),
        mounts=mounts,
        mounts_max=mounts_max if mounts_max > 0 else -1,
        written_s=written_s,
    )


def _vfat(head: bytes, fd: int) -> Filesystem | None:
    """FAT16 and FAT32, by the fields a driver needs and not by the informative string at 0x36 or 0x52 alone."""
    if len(head) < _SECTOR or head[510:512] != b"\x55\xaa":
        return None
    sector, cluster_sectors, reserved, fats, entries, small = struct.unpack_from("<HBHBHH", head, 11)
    fat16_sectors, large, fat32_sectors = struct.unpack_from("<H", head, 22)[0], *struct.unpack_from("<II", head, 32)
    if sector not in (512, 1024, 2048, 4096) or cluster_sectors not in (1, 2, 4, 8, 16, 32, 64, 128):
        return None
    if not reserved or fats not in (1, 2):
        return None
    if fat16_sectors and head[54:59] in (b"FAT16", b"FAT12"):
        serial, label = head[39:43], head[43:54]
        root, root_bytes = reserved + fats * fat16_sectors, min(entries * 32, _FAT_CLUSTER_MAX)
    elif not fat16_sectors and head[82:87] == b"FAT32":
        serial, label = head[67:71], head[71:82]
        first_cluster = struct.unpack_from("<I", head, 44)[0]
        root = reserved + fats * fat32_sectors + (first_cluster - 2) * cluster_sectors
        root_bytes = min(cluster_sectors * sector, _FAT_CLUSTER_MAX)
    else:
        return None
    number = int.from_bytes(serial, "little")
    named = _fat_root_label(os.pread(fd, root_bytes, root * sector)) if 0 < root < 1 << 40 else None
    return Filesystem(
        kind="vfat",
        label=_fat_text(label) if named is None else named,
        uuid=f"{number >> 16:04X}-{number & 0xFFFF:04X}",
        size_bytes=(small or large) * sector,
        block_size=sector,
    )


def _fat_root_label(entries: bytes) -> str | None:
    """The label most systems show and change is an entry of the root folder; the one in the boot sector may be old."""
    for at in range(0, len(entries) - 31, 32):
        if entries[at] == 0:
            break
        attributes = entries[at + 11]
        if entries[at] != 0xE5 and attributes & _FAT_VOLUME_LABEL and attributes & _FAT_LONG_NAME != _FAT_LONG_NAME:
            return _fat_text(entries[at : at + 11])
    return None


def _fat_text(label: bytes) -> str:
    text = label.decode("latin-1").rstrip(" \0")
    return "" if text == "NO NAME" else text


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _uuid(value: bytes) -> str:
    digits = value.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _number(path: str) -> int | None:
    """A number in a sysfs file; None where there is none, as with a device that has just gone."""
    try:
        with open(path, "rb") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None
