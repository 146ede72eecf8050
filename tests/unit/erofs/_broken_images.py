# SPDX-License-Identifier: MIT
"""One broken image per defect, named by the defect, with the code that must refuse it."""

from __future__ import annotations

import struct
from collections.abc import Callable

from unit.erofs._small_images import (
    BLK,
    BLOCK,
    CHR,
    CHUNK,
    DIR,
    FIRST_INODE,
    INLINE,
    LNK,
    METACOPY,
    PLAIN,
    REDIRECT,
    REG,
    SLOT,
    SUPER,
    TRUSTED,
    USER,
    SmallImage,
    Xattr,
    put,
    single,
    xattr_entry,
)

Broken = tuple[str, str, Callable[[], bytes]]

NOWHERE = b"\xff" * 4


def good() -> bytes:
    image = SmallImage()
    return single(image.inode(REG | 0o644, tail=b"hi"), image)


def _super(field: int, value: bytes) -> Callable[[], bytes]:
    return lambda: put(good(), SUPER + field, value)


def _file(**fields: object) -> Callable[[], bytes]:
    """The root holds one inode made of these fields, a regular file if nothing else is said."""

    def build() -> bytes:
        image = SmallImage()
        given = {"mode": REG | 0o644, **fields}
        return single(image.inode(given.pop("mode"), **given), image)  # type: ignore[arg-type]

    return build


def _external(xattrs: list[Xattr], **fields: object) -> Callable[[], bytes]:
    return _file(layout=CHUNK, size=100, tail=NOWHERE, xattrs=xattrs, **fields)


def _root(children: list[bytes], **fields: object) -> Callable[[], bytes]:
    def build() -> bytes:
        image = SmallImage()
        nids = [(name, image.inode(REG | 0o644)) for name in children]
        return image.finish(image.directory(nids, **fields))  # type: ignore[arg-type]

    return build


def _block(block: bytes) -> Callable[[], bytes]:
    return _root([], block=block)


def _dots(name: bytes, nid: int | None, file_type: int = 2) -> Callable[[], bytes]:
    def build() -> bytes:
        image = SmallImage()
        root = image.directory([])
        at = len(image.data) - 27 + (0 if name == b"." else 12)
        struct.pack_into("<Q", image.data, at, root if nid is None else nid)
        image.data[at + 10] = file_type
        return image.finish(root)

    return build


def _dirent_nid(nid: int) -> Callable[[], bytes]:
    def build() -> bytes:
        image = SmallImage()
        image.modes[nid] = REG
        return image.finish(image.directory([(b"a", nid)]))

    return build


def _loop() -> bytes:
    """A directory that contains the root, which has every right to be a directory but not to be there."""
    image = SmallImage()
    root = FIRST_INODE // SLOT + 3
    image.modes[root] = DIR
    inner = image.directory([(b"up", root)])
    assert image.directory([(b"in", inner)]) == root
    return image.finish(root)


def _directory_with_two_names() -> bytes:
    image = SmallImage()
    inner = image.directory([])
    return image.finish(image.directory([(b"a", inner), (b"b", inner)]))


def _inode_inside_another() -> bytes:
    image = SmallImage()
    hidden = bytes(20) + struct.pack("<HHHHII", 0, 0, REG | 0o644, 1, 0, 0) + bytes(32)
    outer = image.inode(REG | 0o644, tail=hidden)
    inner = outer + 1
    struct.pack_into("<HHHHI", image.data, inner * SLOT, 0, 0, REG | 0o644, 1, 0)
    image.modes[inner] = REG
    return image.finish(image.directory([(b"a", outer), (b"b", inner)]))


def _directories_share_data() -> bytes:
    """Eight directories, all with the same eight blocks: more directory than image."""
    image = SmallImage()
    count, blocks = 8, 8
    first = 1
    shared = [image.inode(DIR | 0o755, layout=PLAIN, size=blocks * BLOCK, i_u=first, nlink=2) for _ in range(count)]
    root = image.directory([(b"%d" % number, nid) for number, nid in enumerate(shared)])
    table = image.table([(b".", shared[0], 2), (b"..", root, 2)])
    assert image.block(table + bytes(BLOCK - len(table))) == first
    for number in range(1, blocks):
        name = b"n%d" % number
        image.block(image.table([(name, 0, 1)]).ljust(BLOCK, b"\0"))
    # The first of them is what it must be up to its children, which do not exist: make them all the same stub file.
    file = image.inode(REG | 0o644)
    for number in range(1, blocks):
        struct.pack_into("<Q", image.data, (first + number) * BLOCK, file)
    return image.finish(root)


def _shared(number: int, **fields: object) -> Callable[[], bytes]:
    """One inode with one shared xattr; the table is block 1 and holds user.a=1 at 0."""

    def build() -> bytes:
        image = SmallImage()
        file = image.inode(REG | 0o644, shared=[number], **fields)  # type: ignore[arg-type]
        root = image.directory([(b"a", file)])
        block = image.block(xattr_entry(USER, b"a", b"1"))
        return image.finish(root, xattr_block=block)

    return build


def _many_links_to_much() -> bytes:
    """A few KB of names that would unfold to some 200 MB of text."""
    image = SmallImage()
    table = b"".join(xattr_entry(USER, b"%02d" % number, b"\n" * 4000) for number in range(15))
    numbers = [number * len(xattr_entry(USER, b"00", bytes(4000))) // 4 for number in range(15)]
    file = image.inode(REG | 0o644, shared=numbers)
    names = [b"%03d" % number for number in range(250)]
    inner = [image.directory([(name, file) for name in names[:100]]) for _ in range(20)]
    root = image.directory([(b"d%02d" % number, nid) for number, nid in enumerate(inner)])
    return image.finish(root, xattr_block=image.block(table))


def _xattrs_of_one_inode(count: int) -> Callable[[], bytes]:
    def build() -> bytes:
        image = SmallImage()
        table = b"".join(xattr_entry(USER, b"%02d" % number, bytes(4000)) for number in range(count))
        numbers = [number * len(xattr_entry(USER, b"00", bytes(4000))) // 4 for number in range(count)]
        file = image.inode(REG | 0o644, shared=numbers)
        root = image.directory([(b"a", file)])
        return image.finish(root, xattr_block=image.block(table))

    return build


def _chunk_table_past_the_end() -> bytes:
    image = SmallImage()
    root = image.directory([(b"a", 4064 // SLOT)]) if image.modes.setdefault(4064 // SLOT, REG) else 0
    image.data += bytes(4064 - len(image.data))
    struct.pack_into("<HHH", image.data, 0, 0, 0, 0)
    image.data += struct.pack("<HHHHIIIIHHI", CHUNK << 1, 0, REG | 0o644, 1, 1, 0, 0, 0, 0, 0, 0)
    return image.finish(root)


def _stub(name: bytes, *, nlink: int = 1, twice: bool = False, deep: bool = False) -> Callable[[], bytes]:
    def build() -> bytes:
        image = SmallImage()
        stub = image.inode(CHR | 0o644, nlink=nlink)
        inner = image.directory([(name, stub)] + ([(b"ff", stub)] if twice else []))
        return image.finish(image.directory([(b"d", inner)]) if deep else inner)

    return build


def _two_xattrs(first: bytes, second: bytes) -> Callable[[], bytes]:
    return _file(xattrs=[(USER, first, b""), (USER, second, b"")])


def _own_and_shared() -> bytes:
    return _shared(0, xattrs=[(USER, b"a", b"2")])()


def _wrong_type() -> bytes:
    image = SmallImage()
    file = image.inode(REG | 0o644)
    image.modes[file] = LNK
    return single(file, image)


def _tail_into_the_next_block() -> bytes:
    image = SmallImage()
    root = image.directory([(b"a", image.inode(REG | 0o644, layout=INLINE, size=4090))])
    image.block(b"x")
    return image.finish(root)


def _inline(size: int) -> bytes:
    image = SmallImage()
    file = image.inode(REG | 0o644, layout=PLAIN, size=size, i_u=1)
    root = image.directory([(b"a", file)])
    assert image.block(b"x" * size) == 1
    return image.finish(root)


def _long_redirect() -> bytes:
    image = SmallImage()
    file = image.inode(REG | 0o644, layout=CHUNK, size=1, tail=NOWHERE, xattrs=[METACOPY, REDIRECT_LONG])
    return single(file, image)


REDIRECT_LONG = (TRUSTED, b"overlay.redirect", b"/" + b"x" * 3000 + b"/" + b"y" * 1100)

BROKEN: list[Broken] = [
    ("nothing", "erofs.truncated", lambda: b""),
    ("one byte short", "erofs.truncated", lambda: good()[:-1]),
    ("more blocks announced", "erofs.truncated", _super(36, struct.pack("<I", 2))),
    ("something behind the end", "erofs.size", lambda: good() + bytes(BLOCK)),
    ("no composefs header", "composefs.magic", lambda: put(good(), 0, bytes(4))),
    ("another format version", "composefs.version", lambda: put(good(), 4, b"\2")),
    ("composefs version 3", "composefs.version", lambda: put(good(), 12, b"\3")),
    ("no superblock", "erofs.magic", _super(0, bytes(4))),
    ("an incompatible feature", "erofs.feature-incompat", _super(80, b"\1")),
    ("small blocks", "erofs.block-size", _super(12, b"\11")),
    ("a longer superblock", "erofs.superblock-slots", _super(13, b"\1")),
    ("compression algorithms", "erofs.compression", _super(84, b"\1")),
    ("other devices", "erofs.devices", _super(86, b"\1")),
    ("large directory blocks", "erofs.directory-blocks", _super(90, b"\1")),
    ("long xattr prefixes", "erofs.xattr-prefix", _super(91, b"\1")),
    ("inodes behind the end", "erofs.meta-range", _super(40, struct.pack("<I", 1))),
    ("inodes far behind the end", "erofs.meta-range", _super(40, NOWHERE)),
    ("shared xattrs behind the end", "erofs.xattr-range", _super(44, NOWHERE)),
    ("root is a file", "erofs.root-type", lambda: put(good(), SUPER + 14, struct.pack("<H", FIRST_INODE // SLOT))),
    ("root in the superblock", "erofs.nid-range", _super(14, struct.pack("<H", 33))),
    ("root behind the end", "erofs.nid-range", _super(14, b"\xff\xff")),
    ("nid 2^64-1", "erofs.nid-range", _dirent_nid(2**64 - 1)),
    ("nid that wraps when shifted", "erofs.nid-range", _dirent_nid(2**59 + 36)),
    ("nid one behind the end", "erofs.nid-range", _dirent_nid(BLOCK // SLOT)),
    ("xattrs reach past the end", "erofs.nid-range", _file(icount=0xFFFF)),
    ("compressed", "erofs.layout", _file(layout=1, size=1)),
    ("compressed compactly", "erofs.layout", _file(layout=3, size=1)),
    ("unknown layout", "erofs.layout", _file(layout=5, size=1)),
    ("unknown format bit", "erofs.layout", _file(layout=0x10 >> 1)),
    ("directory in chunks", "erofs.layout", _file(mode=DIR | 0o755, layout=CHUNK, tail=NOWHERE)),
    ("fifo in chunks", "erofs.layout", _file(mode=0o10644, layout=CHUNK)),
    ("empty file in chunks", "erofs.layout", _file(layout=CHUNK, size=0)),
    ("no file type", "erofs.mode", _file(mode=0)),
    ("size above 2^63", "erofs.file-size", _file(extended=True, size=2**63)),
    ("inode inside another", "erofs.overlap", _inode_inside_another),
    ("directories share their data", "erofs.overlap", _directories_share_data),
    ("unknown chunk format", "erofs.chunk-format", _external([METACOPY], i_u=0x40)),
    ("chunk indexes", "erofs.chunk-format", _external([METACOPY], i_u=0x20)),
    ("too many chunks", "erofs.chunk-count", _file(layout=CHUNK, size=1025 * BLOCK, tail=NOWHERE)),
    ("absurdly many chunks", "erofs.chunk-count", _file(layout=CHUNK, extended=True, size=2**62, tail=NOWHERE)),
    ("chunk table past the end", "erofs.chunk-range", _chunk_table_past_the_end),
    ("a chunk in the image", "erofs.chunk-data", _file(layout=CHUNK, size=1, tail=bytes(4), xattrs=[METACOPY])),
    ("tail of no bytes", "erofs.tail-size", _file(layout=2, size=BLOCK, i_u=0)),
    ("tail crosses a block", "erofs.tail-crosses-block", _tail_into_the_next_block),
    ("data in block 0", "erofs.data-range", _file(layout=PLAIN, size=1)),
    ("data behind the end", "erofs.data-range", _file(layout=PLAIN, size=1, i_u=1)),
    ("data at the last block number", "erofs.data-range", _file(layout=PLAIN, size=1, i_u=0xFFFFFFFF)),
    ("absurd directory size", "erofs.data-range", _file(mode=DIR, layout=PLAIN, extended=True, size=2**62, i_u=1)),
    ("directory block too short", "erofs.dirent-block", _block(b"\0" * 11)),
    ("names at 0", "erofs.dirent-block", _block(bytes(40))),
    ("names between entries", "erofs.dirent-block", _block(struct.pack("<QHBB", 0, 13, 1, 0) + bytes(40))),
    ("names behind the block", "erofs.dirent-block", _block(struct.pack("<QHBB", 0, 48, 1, 0) + bytes(4))),
    ("a name twice", "erofs.dirent-duplicate", _root([b"a", b"a"])),
    ("names out of order", "erofs.dirent-order", _root([b"b", b"a"], in_order=False)),
    ("longer name first", "erofs.dirent-order", _root([b"aa", b"a"], in_order=False)),
    ("empty name", "erofs.dirent-name", _root([b"", b"a"])),
    ("empty last name", "erofs.dirent-name", _root([b"a", b"b", b""], in_order=False, dots=False)),
    ("name with a slash", "erofs.dirent-name", _root([b"a/b"])),
    ("name with a zero", "erofs.dirent-name", _root([b"a\0b", b"c"])),
    ("name of 256 bytes", "erofs.dirent-name", _root([b"a" * 256, b"b"])),
    ("name inside the entries", "erofs.dirent-name", _block(
        struct.pack("<QHBB", 36, 24, 1, 0) + struct.pack("<QHBB", 36, 12, 1, 0) + b"ab")),
    ("names that go backwards", "erofs.dirent-name", _block(
        struct.pack("<QHBB", 36, 24, 1, 0) + struct.pack("<QHBB", 36, 24, 1, 0) + b"ab")),
    ("name behind the block", "erofs.dirent-name", _block(
        struct.pack("<QHBB", 36, 24, 1, 0) + struct.pack("<QHBB", 36, 0xFFFF, 1, 0) + b"ab")),
    ("no dots", "erofs.dot", _root([b"a"], dots=False)),
    ("'.' is someone else", "erofs.dot", _dots(b".", 36 + 7)),
    ("'..' is someone else", "erofs.dot", _dots(b"..", 36 + 7)),
    ("'.' is a file", "erofs.dot", _dots(b".", None, 1)),
    ("wrong file type", "erofs.dirent-type", _wrong_type),
    ("symlink to nothing", "erofs.symlink", _file(mode=LNK | 0o777)),
    ("symlink with a zero", "erofs.symlink", _file(mode=LNK | 0o777, tail=b"a\0b")),
    ("unknown xattr prefix", "erofs.xattr-prefix", _file(xattrs=[(7, b"a", b"")])),
    ("long xattr prefix", "erofs.xattr-prefix", _file(xattrs=[(0x80, b"a", b"")])),
    ("xattr prefix spelled out", "erofs.xattr-prefix", _file(xattrs=[(0, b"trusted.overlay.redirect", b"x")])),
    ("nameless xattr", "erofs.xattr-name", _file(xattrs=[(0, b"", b"x")])),
    ("xattr name with a zero", "erofs.xattr-name", _file(xattrs=[(USER, b"a\0b", b"x")])),
    ("xattr name of 256 bytes", "erofs.xattr-name", _file(xattrs=[(USER, b"a" * 251, b"x")])),
    ("more shared xattrs than room", "erofs.xattr-range", lambda: put(_shared(0)(), FIRST_INODE + 36, b"\2")),
    ("shared xattr behind the end", "erofs.xattr-range", _shared(BLOCK // 4)),
    ("shared xattr at 2^32-1", "erofs.xattr-range", _shared(0xFFFFFFFF)),
    ("shared xattr in the last bytes", "erofs.xattr-range", lambda: put(
        _shared(BLOCK // 4 - 1)(), 2 * BLOCK - 4, b"\1\1\0\0")),
    ("xattr value past its place", "erofs.xattr-range", lambda: put(
        _file(xattrs=[(USER, b"a", b"x")])(), FIRST_INODE + 32 + 12 + 2, b"\xff\xff")),
    ("filtered out xattr", "erofs.xattr-filter", _file(xattrs=[(USER, b"a", b"")], name_filter=0xFFFFFFFF)),
    ("xattrs out of order", "erofs.xattr-order", _two_xattrs(b"b", b"a")),
    ("an xattr twice", "erofs.xattr-duplicate", _two_xattrs(b"a", b"a")),
    ("an xattr twice, once shared", "erofs.xattr-duplicate", _own_and_shared),
    ("whiteout with a name of its own", "composefs.whiteout-place", _stub(b"gone")),
    ("whiteout with a long name", "composefs.whiteout-place", _stub(b"000")),
    ("whiteout below the root", "composefs.whiteout-place", _stub(b"00", deep=True)),
    ("whiteout that claims two links", "composefs.whiteout-link", _stub(b"00", nlink=2)),
    ("whiteout with two links", "composefs.whiteout-link", _stub(b"00", twice=True)),
    ("directory with two names", "composefs.directory-twice", _directory_with_two_names),
    ("directory loop", "composefs.directory-twice", _loop),
    ("overlayfs whiteout", "composefs.overlay-xattr", _file(xattrs=[(TRUSTED, b"overlay.whiteout", b"")])),
    ("opaque file", "composefs.overlay-xattr", _file(xattrs=[(TRUSTED, b"overlay.opaque", b"y")])),
    ("xwhiteouts in the root", "composefs.overlay-xattr", _root([b"a"], xattrs=[(TRUSTED, b"overlay.opaque", b"x")])),
    ("redirected directory", "composefs.redirect-type", _root([b"a"], xattrs=[(TRUSTED, b"overlay.redirect", b"/x")])),
    ("metacopy of a device", "composefs.redirect-type", _file(mode=BLK | 0o600, i_u=1, xattrs=[METACOPY])),
    ("metacopy with data", "composefs.metacopy-data", _file(tail=b"hi", xattrs=[METACOPY])),
    ("redirect of an empty file", "composefs.metacopy-data", _file(xattrs=[REDIRECT])),
    ("no data and no metacopy", "composefs.metacopy-missing", _external([REDIRECT])),
    ("metacopy of another size", "composefs.metacopy", _external([(TRUSTED, b"overlay.metacopy", bytes(35))])),
    ("metacopy by SHA-512", "composefs.metacopy", _external([
        (TRUSTED, b"overlay.metacopy", b"\0\x24\0\2" + bytes(32))])),
    ("empty redirect", "composefs.redirect", _external([METACOPY, (TRUSTED, b"overlay.redirect", b"")])),
    ("redirect to a slash", "composefs.redirect", _external([METACOPY, (TRUSTED, b"overlay.redirect", b"/")])),
    ("redirect with a zero", "composefs.redirect", _external([METACOPY, (TRUSTED, b"overlay.redirect", b"/a\0b")])),
    ("redirect upwards", "composefs.redirect", _external([METACOPY, (TRUSTED, b"overlay.redirect", b"/a/../../b")])),
    ("redirect that is just upwards", "composefs.redirect", _external([
        METACOPY, (TRUSTED, b"overlay.redirect", b"..")])),
    ("long redirect", "composefs.redirect", _long_redirect),
    ("5001 bytes inside", "composefs.content-size", lambda: _inline(5001)),
    ("65537 bytes of xattrs", "composefs.xattr-size", _xattrs_of_one_inode(17)),
    ("text that unfolds", "composefs.text-size", _many_links_to_much),
]  # fmt: skip
