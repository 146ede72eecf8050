# SPDX-License-Identifier: MIT
"""What the writer puts where; byte identity with the C tool is tested in tests/unit/composefs."""

from __future__ import annotations

import stat
import struct
from dataclasses import replace

import pytest

from powernode.base.errors import DataError
from powernode.erofs._reader import ErofsReader
from powernode.erofs._writer import Inode, write_erofs
from unit.erofs._erofs_images import OWN, SHARED, sample


def test_everything_reads_back() -> None:
    reader = ErofsReader(sample())
    root = reader.root()
    entries = {name: (nid, file_type) for name, nid, file_type in reader.entries(root, parent_nid=root.nid)}
    assert [entries[name][1] for name in (b"dir", b"file", b"hole", b"link", b"node")] == [2, 1, 1, 7, 3]
    inodes = {name: reader.inode(nid, file_type=file_type) for name, (nid, file_type) in entries.items()}
    assert reader.data(inodes[b"file"]) == b"hello"
    assert inodes[b"file"].xattrs == (OWN, SHARED)
    assert inodes[b"dir"].xattrs == (SHARED,)
    assert reader.data(inodes[b"link"]) == b"target"
    assert inodes[b"node"].rdev == 0x103
    assert (inodes[b"hole"].size, inodes[b"hole"].is_chunked, inodes[b"hole"].mtime_s) == (100_000, True, 5)


def test_the_superblock() -> None:
    image = sample()
    (magic, _, compat, bits, _, root_nid, inodes, mtime, mtime_ns, blocks) = struct.unpack_from(
        "<IIIBBHQqII", image, 1024
    )
    assert (magic, compat, bits, root_nid, inodes, mtime, mtime_ns) == (0xE0F5E1E2, 6, 12, 36, 6, 0, 0)
    assert blocks * 4096 == len(image)


def test_the_header_is_the_callers() -> None:
    image = write_erofs([Inode(mode=0o40755, nlink=2, entries=[(b".", 0), (b"..", 0)])], header=b"mine")
    assert image[:8] == b"mine\0\0\0\0"


@pytest.mark.parametrize(
    ("change", "extended"),
    [
        ({}, False),
        ({"uid": 65535, "gid": 65535, "nlink": 65535}, False),
        ({"uid": 65536}, True),
        ({"gid": 65536}, True),
        ({"nlink": 65536}, True),
        ({"mtime_s": 1}, True),
        ({"mtime_ns": 1}, True),
        ({"hole_size": 0xFFFFFFFF}, False),
        ({"hole_size": 0x100000000}, True),
    ],
)
def test_compact_only_where_nothing_is_lost(change: dict[str, int], extended: bool) -> None:
    file = replace(Inode(mode=stat.S_IFREG | 0o644), **change)  # type: ignore[arg-type]
    image = write_erofs([Inode(mode=0o40755, nlink=2, entries=[(b".", 0), (b"..", 0), (b"f", 1)]), file])
    reader = ErofsReader(image)
    root = reader.root()
    ((_, nid, _),) = reader.entries(root, parent_nid=root.nid)
    assert image[nid * 32] & 1 == extended
    inode = reader.inode(nid)
    assert (inode.uid, inode.gid, inode.nlink) == (change.get("uid", 0), change.get("gid", 0), change.get("nlink", 1))
    assert (inode.mtime_s, inode.mtime_ns) == (change.get("mtime_s", 0), change.get("mtime_ns", 0))


def test_a_chunk_table_in_a_block_of_its_own() -> None:
    # 1024 chunks: the table fills a block and cannot stay behind its inode.
    image = write_erofs(
        [
            Inode(mode=0o40755, nlink=2, entries=[(b".", 0), (b"..", 0), (b"f", 1)]),
            Inode(mode=stat.S_IFREG | 0o644, hole_size=9_000_000_000_000_000),
        ]
    )
    assert image[-4096:] == b"\xff" * 4096
    reader = ErofsReader(image)
    root = reader.root()
    ((_, nid, _),) = reader.entries(root, parent_nid=root.nid)
    assert reader.inode(nid).is_chunked
    assert reader.inode(nid).block & 0xFFFF == 31  # the chunk format covers the low half of the block number


def test_attributes_that_no_inode_can_hold() -> None:
    xattrs = tuple((b"user.%d" % number, b"x" * 65000) for number in range(5))
    with pytest.raises(DataError) as caught:
        write_erofs([Inode(mode=0o40755, nlink=2, xattrs=xattrs, entries=[(b".", 0), (b"..", 0)])])
    assert caught.value.code == "erofs.xattr-size"
