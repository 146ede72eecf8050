# SPDX-License-Identifier: MIT
"""Hostile images: each broken in one place, each refused with its own code."""

from __future__ import annotations

import random
import stat
import struct
import time
from collections import Counter
from collections.abc import Callable

import pytest

from powernode.base.errors import DataError
from powernode.erofs._reader import ErofsReader
from powernode.erofs._writer import Inode, write_erofs
from unit.erofs._erofs_images import Patient, read_everything, sample

Break = Callable[[Patient], None]


def _superblock(at: int, form: str, value: int) -> Break:
    return lambda patient: patient.put(1024 + at, form, value)


def _inode(name: bytes, at: int, form: str, value: int) -> Break:
    return lambda patient: patient.put(patient.offset(name) + at, form, value)


def _dirent(position: int, at: int, form: str, value: int) -> Break:
    return lambda patient: patient.put(patient.dirent(position) + at, form, value)


def _name(position: int, value: int) -> Break:
    return lambda patient: patient.put(patient.name(position), "<B", value)


def _nid_of(source: bytes, position: int) -> Break:
    """Point the entry at another inode."""
    return lambda patient: patient.put(patient.dirent(position), "<Q", patient.offset(source) // 32)


def _tail_crosses(patient: Patient) -> None:
    """The tail of `link` runs on into a second block, which exists."""
    offset = patient.offset(b"link")
    patient.image += bytes(4096)
    patient.put(1024 + 36, "<I", 2)
    patient.put(offset + 8, "<I", 4095)


def _extended_in_the_last_slot(patient: Patient) -> None:
    patient.put(patient.dirent(3), "<Q", len(patient.image) // 32 - 1)
    patient.put(len(patient.image) - 32, "<H", 1)


def _blocks_far_outside(patient: Patient) -> None:
    offset = patient.offset(b"file")
    patient.put(offset + 8, "<I", 4097)
    patient.put(offset + 16, "<I", 0xFFFFFFFF)


def _shared_at_end(patient: Patient) -> None:
    """A shared attribute whose value runs past the last byte of the image."""
    patient.put(len(patient.image) - 4, "<BBH", 0, 1, 100)
    base = struct.unpack_from("<I", patient.image, 1024 + 44)[0] * 4096
    patient.put(patient.offset(b"dir") + 32 + 12, "<I", (len(patient.image) - 4 - base) // 4)


def _empty_own_name(patient: Patient) -> None:
    patient.put(patient.offset(b"file") + 32 + 16, "<BBH", 0, 0, 4)


def _duplicate_xattr(patient: Patient) -> None:
    """`file` refers to `user.shared` twice: once in place of its own attribute."""
    at = patient.offset(b"file") + 32
    index = struct.unpack_from("<I", patient.image, at + 12)[0]
    patient.put(at, "<IB", 0, 2)
    patient.put(at + 12, "<II", index, index)
    patient.put(patient.offset(b"file") + 2, "<H", 1 + 2)


# Positions in the root: 0 `.`, 1 `..`, 2 dir, 3 file, 4 hole, 5 link, 6 node.
CASES: list[tuple[str, str, Break]] = [
    ("magic", "erofs.magic", _superblock(0, "<I", 1)),
    ("block size", "erofs.block-size", _superblock(12, "<B", 14)),
    ("extension slots", "erofs.superblock-slots", _superblock(13, "<B", 1)),
    ("incompatible features", "erofs.feature-incompat", _superblock(80, "<I", 2)),
    ("compression algorithms", "erofs.compression", _superblock(84, "<H", 1)),
    ("extra devices", "erofs.devices", _superblock(86, "<H", 1)),
    ("directory block bits", "erofs.directory-blocks", _superblock(90, "<B", 1)),
    ("long prefix table", "erofs.xattr-prefix", _superblock(91, "<B", 1)),
    ("more blocks than bytes", "erofs.truncated", _superblock(36, "<I", 0x10000)),
    ("no blocks", "erofs.size", _superblock(36, "<I", 0)),
    ("inodes start past the end", "erofs.meta-range", _superblock(40, "<I", 0xFFFFFFFF)),
    ("root is the superblock", "erofs.nid-range", _superblock(14, "<H", 32)),
    ("root is nowhere", "erofs.nid-range", _superblock(14, "<H", 0xFFFF)),
    ("root is a file", "erofs.root-type", lambda p: p.put(1024 + 14, "<H", p.offset(b"file") // 32)),
    ("nid wraps", "erofs.nid-range", _dirent(3, 0, "<Q", 0xFFFFFFFFFFFFFFFF)),
    ("extended inode in the last slot", "erofs.nid-range", _extended_in_the_last_slot),
    ("compressed layout", "erofs.layout", _inode(b"file", 0, "<H", 3 << 1)),
    ("unknown layout", "erofs.layout", _inode(b"file", 0, "<H", 5 << 1)),
    ("chunked symlink", "erofs.layout", _inode(b"link", 0, "<H", 4 << 1)),
    ("chunked directory", "erofs.layout", _inode(b"dir", 0, "<H", 4 << 1)),
    ("chunk indexes", "erofs.chunk-format", _inode(b"hole", 16, "<H", 0x20 | 5)),
    ("no file type", "erofs.mode", _inode(b"file", 4, "<H", 0o644)),
    ("entry says directory", "erofs.dirent-type", _dirent(3, 10, "<B", 2)),
    ("entry says nothing", "erofs.dirent-type", _dirent(3, 10, "<B", 0)),
    ("inline tail of nothing", "erofs.tail-size", _inode(b"file", 8, "<I", 4096)),
    ("tail crosses a block", "erofs.tail-crosses-block", _tail_crosses),
    ("blocks outside", "erofs.data-range", _inode(b"file", 8, "<I", 4097)),
    ("blocks far outside", "erofs.data-range", _blocks_far_outside),
    ("size of 4 GiB", "erofs.data-range", _inode(b"link", 8, "<I", 0xFFFFFFFF)),
    ("huge attributes", "erofs.nid-range", _inode(b"file", 2, "<H", 0xFFFF)),
    ("attributes missing", "erofs.xattr-range", lambda p: p.put(p.offset(b"file") + 32 + 4, "<B", 255)),
    ("attribute longer than the body", "erofs.xattr-range", lambda p: p.put(p.offset(b"file") + 32 + 18, "<H", 500)),
    ("attribute cut by the body", "erofs.xattr-range", _inode(b"file", 2, "<H", 1 + 2)),
    ("shared attribute outside", "erofs.xattr-range", lambda p: p.put(p.offset(b"dir") + 32 + 12, "<I", 0xFFFFFFFF)),
    ("shared attribute past the end", "erofs.xattr-range", _shared_at_end),
    ("long attribute prefix", "erofs.xattr-prefix", lambda p: p.put(p.offset(b"file") + 32 + 17, "<B", 0x80)),
    ("unknown attribute prefix", "erofs.xattr-prefix", lambda p: p.put(p.offset(b"file") + 32 + 17, "<B", 7)),
    ("attribute without a name", "erofs.xattr-name", _empty_own_name),
    ("attribute with NUL", "erofs.xattr-name", lambda p: p.put(p.offset(b"file") + 32 + 20, "<B", 0)),
    ("one attribute twice", "erofs.xattr-duplicate", _duplicate_xattr),
    ("entry array of no entries", "erofs.dirent-block", _dirent(0, 8, "<H", 0)),
    ("entry array of half an entry", "erofs.dirent-block", _dirent(0, 8, "<H", 18)),
    ("entry array past the block", "erofs.dirent-block", _dirent(0, 8, "<H", 12 * 300)),
    ("directory of 5 bytes", "erofs.dirent-block", _inode(b"dir", 8, "<I", 5)),
    ("name before the names", "erofs.dirent-name", _dirent(3, 8, "<H", 12)),
    ("name past the block", "erofs.dirent-name", _dirent(6, 8, "<H", 4000)),
    ("empty name", "erofs.dirent-name", lambda p: p.put(p.dirent(3) + 8, "<H", p.name(4) - p.root().tail_offset)),
    ("name with a slash", "erofs.dirent-name", _name(3, ord("/"))),
    ("name with NUL", "erofs.dirent-name", _name(3, 0)),
    ("last name begins with NUL", "erofs.dirent-name", _name(6, 0)),
    ("unsorted", "erofs.dirent-order", _name(3, ord("a"))),
    ("duplicate", "erofs.dirent-duplicate", lambda p: p.image.__setitem__(slice(p.name(5), p.name(5) + 4), b"hole")),
    ("dot leads elsewhere", "erofs.dot", _nid_of(b"dir", 0)),
    ("dot-dot leads elsewhere", "erofs.dot", _nid_of(b"dir", 1)),
    ("no dot", "erofs.dot", _name(0, ord("-"))),
]


def test_the_unbroken_image_reads() -> None:
    assert read_everything(sample()) == 6


@pytest.mark.parametrize(("code", "break_it"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_refusal(code: str, break_it: Break) -> None:
    patient = Patient.of(sample())
    break_it(patient)
    with pytest.raises(DataError) as caught:
        read_everything(bytes(patient.image))
    assert caught.value.code == code


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1151])
def test_no_room_for_a_superblock(size: int) -> None:
    with pytest.raises(DataError) as caught:
        ErofsReader(sample()[:size])
    assert caught.value.code == "erofs.truncated"


def test_every_truncation_is_refused() -> None:
    image = sample()
    for size in range(1152, len(image), 97):
        with pytest.raises(DataError) as caught:
            ErofsReader(image[:size])
        assert caught.value.code == "erofs.truncated"


def test_a_long_name_in_the_last_place() -> None:
    """Without a successor the last name could run to the end of a block, past 255 bytes."""
    names = [b"a" * 250, *(b"%c" % letter * 250 for letter in b"bcdefghijklm")]
    entries = [(b".", 0), (b"..", 0), *((name, number) for number, name in enumerate(names, 1))]
    image = bytearray(write_erofs([Inode(mode=0o40755, entries=entries), *(Inode(mode=stat.S_IFREG) for _ in names)]))
    at = image.rindex(b"m" * 250)
    image[at + 250 : at + 300] = b"m" * 50
    with pytest.raises(DataError) as caught:
        read_everything(bytes(image))
    assert caught.value.code == "erofs.dirent-name"


def test_overlapping_data_costs_no_more_than_a_multiple_of_the_image() -> None:
    """2000 files that all claim the same 1 MiB of blocks: refused after some images' worth of work."""
    names = [b"%04d" % number for number in range(2000)]
    root = Inode(
        mode=0o40755, entries=[(b".", 0), (b"..", 0), *((name, number) for number, name in enumerate(names, 1))]
    )
    image = bytearray(write_erofs([root, *(Inode(mode=stat.S_IFREG) for _ in names)]))
    image += bytes(1 << 20)
    struct.pack_into("<I", image, 1024 + 36, len(image) // 4096)
    reader = ErofsReader(bytes(image))
    found = reader.root()
    for _, nid, _ in reader.entries(found, parent_nid=found.nid):
        struct.pack_into("<I", image, nid * 32 + 8, 1 << 20)
        struct.pack_into("<I", image, nid * 32 + 16, (len(image) - (1 << 20)) // 4096)
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        read_everything(bytes(image))
    assert caught.value.code == "erofs.overlap"
    assert time.monotonic() - started < 5


def test_flipped_bytes_raise_nothing_else() -> None:
    image = sample()
    used = [at for at in range(1024, len(image)) if image[at]]
    chance = random.Random(20)
    codes: Counter[str] = Counter()
    for _ in range(3000):
        broken = bytearray(image)
        for _ in range(chance.randint(1, 4)):
            at = chance.choice(used) if chance.random() < 0.8 else chance.randrange(1024, 2048)
            broken[at] = chance.randrange(256)
        try:
            read_everything(bytes(broken))
        except DataError as error:
            codes[error.code] += 1
    assert all(code.startswith("erofs.") for code in codes)
    assert len(codes) > 10
