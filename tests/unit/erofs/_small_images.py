# SPDX-License-Identifier: MIT
"""Composefs images of one or two blocks, put together by hand so that every single field can be wrong.

Children come first: an inode's number is known once it is placed, and `directory` fills in `..` of the directories it
is given. The name filter admits everything unless a test says otherwise. Nothing is checked here.

    image = SmallImage()
    hello = image.inode(REG | 0o644, tail=b"hi")
    root = image.directory([(b"hello", hello)])
    data = image.finish(root)
"""

from __future__ import annotations

import struct

BLOCK = 4096
SLOT = 32
SUPER = 1024
FIRST_INODE = SUPER + 128

FIFO, CHR, DIR, BLK, REG, LNK, SOCK = 0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000
FILE_TYPE = {REG: 1, DIR: 2, CHR: 3, BLK: 4, FIFO: 5, SOCK: 6, LNK: 7}

PLAIN, INLINE, CHUNK = 0, 2, 4
USER, ACL_ACCESS, ACL_DEFAULT, TRUSTED, LUSTRE, SECURITY = 1, 2, 3, 4, 5, 6

METACOPY = (TRUSTED, b"overlay.metacopy", b"")
REDIRECT = (TRUSTED, b"overlay.redirect", b"/ab/cd")

Xattr = tuple[int, bytes, bytes]


def xattr_entry(index: int, name: bytes, value: bytes) -> bytes:
    entry = struct.pack("<BBH", len(name), index, len(value)) + name + value
    return entry + bytes(-len(entry) % 4)


def xattr_body(own: list[Xattr], shared: list[int], name_filter: int) -> bytes:
    head = struct.pack("<IB7x", name_filter, len(shared)) + b"".join(struct.pack("<I", number) for number in shared)
    return head + b"".join(xattr_entry(*xattr) for xattr in own)


class SmallImage:
    def __init__(self) -> None:
        self.data = bytearray(FIRST_INODE)
        self.modes: dict[int, int] = {}
        self.parents: dict[int, int] = {}
        """Directory number -> where the number of its parent is stored."""

    def offset(self, nid: int) -> int:
        return nid * SLOT

    def inode(
        self,
        mode: int,
        *,
        tail: bytes = b"",
        size: int | None = None,
        layout: int | None = None,
        nlink: int = 1,
        i_u: int = 0,
        xattrs: list[Xattr] | None = None,
        shared: list[int] | None = None,
        name_filter: int = 0,
        icount: int | None = None,
        extended: bool = False,
    ) -> int:
        """Places an inode behind the last one, on the next block if its tail would cross into it."""
        body = xattr_body(xattrs or [], shared or [], name_filter) if xattrs or shared else b""
        self.data += bytes(-len(self.data) % SLOT)
        start = len(self.data) + (64 if extended else 32) + len(body)
        if tail and start % BLOCK + len(tail) > BLOCK:
            self.data += bytes(-len(self.data) % BLOCK)
        nid = len(self.data) // SLOT
        if layout is None:
            layout = INLINE if tail else PLAIN
        if size is None:
            size = len(tail)
        if icount is None:
            icount = (len(body) - 12) // 4 + 1 if body else 0
        form = layout << 1 | extended
        if extended:
            self.data += struct.pack("<HHHHQIIIIQII16x", form, icount, mode, 0, size, i_u, 0, 0, 0, 7, 9, nlink)
        else:
            self.data += struct.pack("<HHHHIIIIHHI", form, icount, mode, nlink, size, 0, i_u, 0, 0, 0, 0)
        self.data += body + tail
        self.modes[nid] = mode
        return nid

    def table(self, entries: list[tuple[bytes, int, int]]) -> bytes:
        """One directory block."""
        at = 12 * len(entries)
        head = b""
        for name, nid, file_type in entries:
            head += struct.pack("<QHBB", nid, at, file_type, 0)
            at += len(name)
        return head + b"".join(name for name, _, _ in entries)

    def directory(
        self,
        children: list[tuple[bytes, int]],
        *,
        xattrs: list[Xattr] | None = None,
        dots: bool = True,
        in_order: bool = True,
        block: bytes | None = None,
    ) -> int:
        """A directory whose parent is itself until it becomes someone's child."""
        entries = [(name, nid, FILE_TYPE.get(self.modes[nid] & 0o170000, 1)) for name, nid in children]
        if dots:
            entries += [(b".", 0, 2), (b"..", 0, 2)]
        if in_order:
            entries.sort()
        table = self.table(entries) if block is None else block
        nid = self.inode(DIR | 0o755, tail=table, nlink=2, xattrs=xattrs)
        at = len(self.data) - len(table)
        if dots and block is None:
            names = [name for name, _, _ in entries]
            struct.pack_into("<Q", self.data, at + 12 * names.index(b"."), nid)
            self.parents[nid] = at + 12 * names.index(b"..")
            struct.pack_into("<Q", self.data, self.parents[nid], nid)
        for _, child in children:
            if child in self.parents:
                struct.pack_into("<Q", self.data, self.parents[child], nid)
        return nid

    def block(self, data: bytes) -> int:
        """Appends data that starts a block and gives its number."""
        self.data += bytes(-len(self.data) % BLOCK)
        number = len(self.data) // BLOCK
        self.data += data
        return number

    def finish(self, root: int, *, xattr_block: int = 0, version: int = 1) -> bytes:
        self.data += bytes(-len(self.data) % BLOCK)
        struct.pack_into("<IIII", self.data, 0, 0xD078629A, 1, 0, version)
        struct.pack_into("<IIIBBHQQIIII", self.data, SUPER, 0xE0F5E1E2, 0, 6, 12, 0, root, 0, 3, 5,
                         len(self.data) // BLOCK, 0, xattr_block)  # fmt: skip
        return bytes(self.data)


def single(nid_of: int, image: SmallImage, name: bytes = b"a") -> bytes:
    """The image whose root holds just that inode."""
    return image.finish(image.directory([(name, nid_of)]))


def put(image: bytes, offset: int, value: bytes) -> bytes:
    return image[:offset] + value + image[offset + len(value) :]
