# SPDX-License-Identifier: MIT
"""A small EROFS image and handles to break it in one place."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

from powernode.erofs._reader import ErofsReader, ReadInode
from powernode.erofs._writer import Inode, write_erofs

SHARED = (b"user.shared", b"s")
OWN = (b"user.own", b"o")


def sample() -> bytes:
    """`/` with `dir/`, `file` (flat, inline), `hole` (chunked), `link`, `node`; `dir` and `file` share an attribute."""
    return write_erofs(
        [
            Inode(
                mode=stat.S_IFDIR | 0o755,
                nlink=3,
                entries=[(b".", 0), (b"..", 0), (b"dir", 1), (b"file", 2), (b"hole", 3), (b"link", 4), (b"node", 5)],
            ),
            Inode(mode=stat.S_IFDIR | 0o755, nlink=2, xattrs=(SHARED,), entries=[(b".", 1), (b"..", 0)]),
            Inode(mode=stat.S_IFREG | 0o644, xattrs=(OWN, SHARED), data=b"hello"),
            Inode(mode=stat.S_IFREG | 0o644, mtime_s=5, hole_size=100_000),
            Inode(mode=stat.S_IFLNK | 0o777, data=b"target"),
            Inode(mode=stat.S_IFCHR | 0o600, rdev=0x103),
        ]
    )


@dataclass
class Patient:
    """An image to be broken: finds structures by name and overwrites fields."""

    image: bytearray

    @classmethod
    def of(cls, image: bytes) -> Patient:
        return cls(bytearray(image))

    def root(self) -> ReadInode:
        return ErofsReader(bytes(self.image)).root()

    def offset(self, name: bytes) -> int:
        """Of the inode with that name in the root, `.` for the root itself."""
        reader = ErofsReader(bytes(self.image))
        root = reader.root()
        if name == b".":
            return root.nid * 32
        return next(nid for entry, nid, _ in reader.entries(root, parent_nid=root.nid) if entry == name) * 32

    def put(self, at: int, form: str, *values: int) -> None:
        struct.pack_into(form, self.image, at, *values)

    def dirent(self, position: int) -> int:
        """Offset of the entry in the root's tail."""
        return self.root().tail_offset + 12 * position

    def name(self, position: int) -> int:
        """Offset of the first byte of that entry's name."""
        (name_offset,) = struct.unpack_from("<H", self.image, self.dirent(position) + 8)
        return self.root().tail_offset + int(name_offset)


def read_everything(image: bytes) -> int:
    """Take every inode of an image apart; the number of inodes."""
    reader = ErofsReader(image)
    root = reader.root()
    seen = {root.nid}
    pending = [(root, root.nid)]
    while pending:
        directory, parent_nid = pending.pop()
        for _, nid, file_type in reader.entries(directory, parent_nid=parent_nid):
            if nid in seen:
                continue
            seen.add(nid)
            inode = reader.inode(nid, file_type=file_type)
            reader.claim(inode)
            if stat.S_ISDIR(inode.mode):
                pending.append((inode, directory.nid))
            elif inode.size and not inode.is_chunked:
                reader.data(inode)
    return len(seen)
