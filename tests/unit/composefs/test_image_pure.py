# SPDX-License-Identifier: MIT
"""Trees to images and back without a peer: golden digests, round trips, hostile images."""

from __future__ import annotations

import hashlib
import random
import stat
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.composefs._dump_parse import parse_dump
from powernode.composefs._dump_print import print_dump
from powernode.composefs._image_pure import read_image, write_image
from powernode.composefs._overlay import restore
from powernode.composefs._view_pure import text as view_text
from powernode.composefs.tree import (
    CharacterDevice,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Symlink,
)
from powernode.erofs._writer import Inode, write_erofs
from unit.composefs._pure_trees import random_tree

VECTORS = Path(__file__).parents[2] / "vectors" / "composefs"
HEADER = struct.pack("<IIII16x", 0xD078629A, 1, 0, 1)
DIGEST = bytes(range(32))


def _expected() -> list[tuple[str, int, int, int, str]]:
    lines = (VECTORS / "expected.tsv").read_text().splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return [(name, int(low), int(high), int(size), digest) for name, low, high, size, digest, _ in rows]


@pytest.mark.parametrize(("name", "low", "high", "size", "digest"), _expected())
def test_golden(name: str, low: int, high: int, size: int, digest: str) -> None:
    image = write_image(
        parse_dump((VECTORS / f"{name}.dump").read_bytes(), strict=True), min_version=low, max_version=high
    )
    assert (len(image), hashlib.sha256(image).hexdigest()) == (size, digest)


def test_every_dump_has_expectations() -> None:
    assert {path.stem for path in VECTORS.glob("*.dump")} == {row[0] for row in _expected()}


@pytest.mark.parametrize("name", sorted({row[0] for row in _expected()}))
def test_dump_image_dump_is_the_identity(name: str) -> None:
    first = print_dump(read_image(write_image(parse_dump((VECTORS / f"{name}.dump").read_bytes()))))
    if name == "whiteouts":  # a linked whiteout moves to its first name, whose directory is marked the second time
        first = print_dump(read_image(write_image(parse_dump(first))))
    assert print_dump(parse_dump(first)) == first
    assert print_dump(read_image(write_image(parse_dump(first)))) == first


@pytest.mark.parametrize("seed", range(10))
def test_images_read_back_to_themselves(seed: int) -> None:
    tree = random_tree(seed, leaves=120)
    for _ in range(2):  # hard links move to their first name, and their parents get the marks of whiteouts
        tree = read_image(write_image(tree))
    image = write_image(tree)
    assert write_image(read_image(image)) == image
    assert print_dump(read_image(image)) == print_dump(tree)


def test_a_tree_reads_back_equal() -> None:
    shared = RegularFile(size=100, payload=b"aa/bb", digest=DIGEST, nlink=2, xattrs=((b"trusted.overlay.x", b"1"),))
    tree = Directory(
        entries={
            b"a": shared,
            b"00": Fifo(),
            b"d": Directory(mode=0o700, entries={b"b": shared, b"gone": CharacterDevice(mode=0o600)}),
            b"e": RegularFile(size=3, content=b"abc"),
        }
    )
    back = read_image(write_image(tree, max_version=0))
    inner = back.entries[b"d"]
    assert isinstance(inner, Directory)
    assert sorted(back.entries) == [b"00", b"a", b"d", b"e"]
    assert back.entries[b"a"] is inner.entries[b"b"]
    assert isinstance(inner.entries[b"gone"], CharacterDevice)
    assert print_dump(back) == print_dump(tree)


def test_objects_are_listed_once_in_order() -> None:
    files = [RegularFile(size=100, payload=payload, digest=DIGEST) for payload in (b"bb/1", b"aa/2", b"bb/1")]
    files.append(RegularFile(size=2, content=b"hi"))
    tree = Directory(entries={b"%d" % number: node for number, node in enumerate(files)})
    assert view_text(write_image(tree), "objects", ()) == b"aa/2\nbb/1\n"


def test_whiteouts_raise_the_version_unless_forbidden() -> None:
    tree = Directory(entries={b"gone": CharacterDevice()})
    versions = [struct.unpack_from("<I", write_image(tree, max_version=high), 12)[0] for high in (0, 1)]
    assert versions == [0, 1]
    assert struct.unpack_from("<I", write_image(Directory()), 12)[0] == 0
    assert write_image(tree, min_version=1, max_version=0) == write_image(tree, min_version=1)


def test_acls_are_flagged() -> None:
    for name, flag in ((b"system.posix_acl_default", 1), (b"system.posix_acl_accessory", 0)):
        image = write_image(Directory(xattrs=((name, b"x"),)))
        assert struct.unpack_from("<I", image, 8)[0] == flag


def test_the_place_of_a_hard_link_decides_the_bytes_and_nothing_else() -> None:
    node = RegularFile()
    inner, outer = Directory(entries={b"x": node}), {b"z": node, b"zz": Fifo()}
    by_default = Directory(entries={b"d": inner, **outer})
    marked = Directory(entries={b"d": Directory(entries={b"x": node}, links={b"x"}), **outer})
    assert write_image(by_default) != write_image(marked)
    assert print_dump(read_image(write_image(by_default))) == print_dump(read_image(write_image(marked)))
    assert b"/d/x 0 @100644 1 0 0 0 0.0 /z - -\n" in print_dump(marked)


def test_all_names_marked_means_the_first() -> None:
    node = RegularFile()
    marked = Directory(entries={b"a": node, b"b": node}, links={b"a", b"b"})
    assert write_image(marked) == write_image(Directory(entries={b"a": node, b"b": node}))


def test_depth_is_not_limited_by_the_interpreter() -> None:
    tree = Directory()
    for _ in range(3000):
        tree = Directory(entries={b"d": tree})
    image = write_image(tree)
    assert write_image(read_image(image)) == image
    assert print_dump(tree).count(b"\n") == 3001


@pytest.mark.parametrize(
    ("stored", "xattrs"),
    [
        (((b"trusted.overlay.overlay.whiteout", b""),), ((b"trusted.overlay.whiteout", b""),)),
        (((b"trusted.overlay.overlay.opaque", b"x"),), ((b"trusted.overlay.opaque", b"x"),)),
        (((b"trusted.overlay.overlay.overlay.a", b""),), ((b"trusted.overlay.overlay.a", b""),)),
        (((b"user.overlay.whiteout", b""), (b"user.overlay.opaque", b"x")), ((b"user.overlay.opaque", b"x"),)),
        (((b"user.z", b""), (b"user.a", b"")), ((b"user.z", b""), (b"user.a", b""))),
    ],
)
def test_restored_attributes_of_a_directory(
    stored: tuple[tuple[bytes, bytes], ...], xattrs: tuple[tuple[bytes, bytes], ...]
) -> None:
    restored = restore(stat.S_IFDIR, stored, is_root=False, size=0, where="here")
    assert restored.xattrs == xattrs
    assert (restored.payload, restored.metacopy, restored.is_whiteout) == (None, None, False)


@pytest.mark.parametrize(("size", "is_whiteout"), [(0, True), (1, False)])
def test_only_an_empty_file_is_a_whiteout(size: int, is_whiteout: bool) -> None:
    """To overlayfs, and so to us; `composefs-info` hides a file with content, too."""
    stored = ((b"trusted.overlay.overlay.whiteout", b""),)
    restored = restore(stat.S_IFREG, stored, is_root=False, size=size, where="here")
    assert restored.is_whiteout == is_whiteout
    assert restored.xattrs == (() if is_whiteout else ((b"trusted.overlay.whiteout", b""),))


def test_a_file_with_content_that_says_it_is_a_whiteout_stays_a_file() -> None:
    file = RegularFile(size=2, content=b"hi", xattrs=((b"trusted.overlay.whiteout", b""),))
    back = read_image(write_image(Directory(entries={b"x": file})))
    assert print_dump(back) == print_dump(Directory(entries={b"x": file}))


def test_the_mark_of_the_root_is_no_attribute_of_another_directory() -> None:
    stored = ((b"trusted.overlay.opaque", b"y"),)
    assert restore(stat.S_IFDIR, stored, is_root=True, size=0, where="here").xattrs == ()
    with pytest.raises(DataError) as caught:
        restore(stat.S_IFDIR, stored, is_root=False, size=0, where="here")
    assert caught.value.code == "composefs.overlay-xattr"


@pytest.mark.parametrize(
    ("code", "node"),
    [
        ("composefs.content-size", RegularFile(size=5001, content=bytes(5001))),
        ("composefs.content-length", RegularFile(size=2, content=b"abc")),
        ("composefs.file-size", RegularFile(size=(1 << 53) + 1)),
        ("composefs.number", RegularFile(size=-1)),
        ("composefs.number", RegularFile(uid=1 << 32)),
        ("composefs.number", RegularFile(mode=0o100644)),
        ("composefs.number", RegularFile(mtime_s=1 << 63)),
        ("composefs.number", CharacterDevice(rdev=1 << 32)),
        ("composefs.digest", RegularFile(size=1, digest=b"short")),
        ("composefs.payload", RegularFile(size=1, payload=b"a\0b")),
        ("composefs.path-length", RegularFile(size=1, payload=b"a" * 4096)),
        ("composefs.symlink", Symlink(target=b"")),
        ("composefs.path-length", Symlink(target=b"a" * 4096)),
        ("composefs.xattr-order", RegularFile(xattrs=((b"user.b", b""), (b"user.a", b"")))),
        ("composefs.xattr-name", RegularFile(xattrs=((b"", b""),))),
        ("composefs.xattr-value", RegularFile(xattrs=((b"user.a", bytes(65536)),))),
        ("composefs.xattr-size", RegularFile(xattrs=((b"user.a", bytes(33000)), (b"user.b", bytes(33000))))),
    ],
)
def test_trees_that_no_image_can_hold(code: str, node: Node) -> None:
    with pytest.raises(DataError) as caught:
        write_image(Directory(entries={b"x": node}))
    assert caught.value.code == code
    assert caught.value.message.startswith("/x: ")


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b"])
def test_names_that_are_none(name: bytes) -> None:
    with pytest.raises(DataError) as caught:
        write_image(Directory(entries={name: Fifo()}))
    assert caught.value.code == "composefs.name"


def test_a_directory_has_one_name() -> None:
    inner = Directory()
    with pytest.raises(DataError) as caught:
        write_image(Directory(entries={b"a": inner, b"b": inner}))
    assert caught.value.code == "composefs.directory-twice"


def test_a_directory_cannot_contain_itself() -> None:
    entries: dict[bytes, Node] = {}
    entries[b"loop"] = loop = Directory(entries=entries)
    for use in (write_image, print_dump):
        with pytest.raises(DataError) as caught:
            use(loop)
        assert caught.value.code == "composefs.directory-twice"


def test_versions_we_cannot_write() -> None:
    with pytest.raises(OperatorError) as caught:
        write_image(Directory(), min_version=2)
    assert caught.value.code == "composefs.version"


# -- hostile images ----------------------------------------------------------------------------------------------------


def _one(inode: Inode, *, header: bytes = HEADER, name: bytes = b"x") -> bytes:
    """An image whose root holds `x`."""
    root = Inode(mode=stat.S_IFDIR | 0o755, nlink=2, entries=[(b".", 0), (b"..", 0), (name, 1)])
    return write_erofs([root, inode], header=header)


def _hole(*xattrs: tuple[bytes, bytes], size: int = 9) -> bytes:
    return _one(Inode(mode=stat.S_IFREG | 0o644, hole_size=size, xattrs=xattrs))


def _nested(**dots: int) -> bytes:
    """`/x/y`, where `y` can be made to lead back up."""
    return write_erofs(
        [
            Inode(mode=stat.S_IFDIR | 0o755, entries=[(b".", 0), (b"..", 0), (b"x", 1)]),
            Inode(mode=stat.S_IFDIR | 0o755, entries=[(b".", 1), (b"..", 0), (b"y", dots.get("y", 2)), (b"z", 2)]),
            Inode(mode=stat.S_IFDIR | 0o755, entries=[(b".", 2), (b"..", 1)]),
        ],
        header=HEADER,
    )


METACOPY = b"trusted.overlay.metacopy"
REDIRECT = b"trusted.overlay.redirect"
KEPT = (METACOPY, b"")
HOSTILE: list[tuple[str, str, Callable[[], bytes]]] = [
    ("no header", "composefs.magic", lambda: _one(Inode(mode=stat.S_IFIFO), header=b"")),
    (
        "another header",
        "composefs.version",
        lambda: _one(Inode(mode=stat.S_IFIFO), header=struct.pack("<IIII16x", 0xD078629A, 2, 0, 1)),
    ),
    (
        "another version",
        "composefs.version",
        lambda: _one(Inode(mode=stat.S_IFIFO), header=struct.pack("<IIII16x", 0xD078629A, 1, 0, 3)),
    ),
    ("directory in itself", "composefs.directory-twice", lambda: _nested(y=1)),
    ("root below", "composefs.directory-twice", lambda: _nested(y=0)),
    ("directory twice", "composefs.directory-twice", lambda: _nested(y=2)),
    ("stub elsewhere", "composefs.whiteout-place", lambda: _one(Inode(mode=stat.S_IFCHR))),
    ("linked stub", "composefs.whiteout-link", lambda: _one(Inode(mode=stat.S_IFCHR, nlink=2), name=b"0f")),
    ("large content", "composefs.content-size", lambda: _one(Inode(mode=stat.S_IFREG, data=bytes(5001)))),
    ("large file", "erofs.chunk-count", lambda: _huge()),
    ("long symlink", "erofs.symlink", lambda: _one(Inode(mode=stat.S_IFLNK, data=b"t" * 4096))),
    ("empty symlink", "erofs.symlink", lambda: _one(Inode(mode=stat.S_IFLNK))),
    ("symlink with NUL", "erofs.symlink", lambda: _one(Inode(mode=stat.S_IFLNK, data=b"a\0b"))),
    ("metacopy of another hash", "composefs.metacopy", lambda: _hole((METACOPY, bytes((0, 36, 0, 2)) + DIGEST))),
    ("short metacopy", "composefs.metacopy", lambda: _hole((METACOPY, bytes((0, 4, 0, 0))))),
    ("no metacopy", "composefs.metacopy-missing", lambda: _hole((REDIRECT, b"/a"))),
    ("redirect of an empty file", "composefs.metacopy-data", lambda: _one(Inode(mode=stat.S_IFREG, xattrs=(KEPT,)))),
    ("redirect of a fifo", "composefs.redirect-type", lambda: _one(Inode(mode=stat.S_IFIFO, xattrs=(KEPT,)))),
    ("foreign overlay attribute", "composefs.overlay-xattr", lambda: _hole((b"trusted.overlay.origin", b""))),
    ("payload with NUL", "composefs.redirect", lambda: _hole((METACOPY, b""), (REDIRECT, b"/a\0b"))),
    ("payload of nothing", "composefs.redirect", lambda: _hole((METACOPY, b""), (REDIRECT, b"/"))),
    ("payload upwards", "composefs.redirect", lambda: _hole((METACOPY, b""), (REDIRECT, b"/a/../b"))),
    ("long payload", "composefs.redirect", lambda: _hole((METACOPY, b""), (REDIRECT, b"/" + b"p" * 4096))),
    ("spelled-out prefix", "erofs.xattr-prefix", lambda: _spelled_out()),
    ("content in chunks", "erofs.chunk-data", lambda: _hole(KEPT).replace(b"\xff" * 4, b"\xff\xff\xff\0", 1)),
    ("not EROFS", "erofs.magic", lambda: HEADER + bytes(8160)),
    ("nothing", "erofs.truncated", lambda: b""),
]


def _spelled_out() -> bytes:
    """An attribute under its whole name although `user.` has a number."""
    image = bytearray(_one(Inode(mode=stat.S_IFIFO, xattrs=((b"xxxx.a", b""),))))
    at = image.index(b"xxxx.a")
    image[at : at + 6] = b"user.a"
    return bytes(image)


def _huge() -> bytes:
    image = bytearray(_hole(size=(1 << 53) - 1))
    at = image.rindex(struct.pack("<Q", (1 << 53) - 1))
    struct.pack_into("<Q", image, at, (1 << 53) + 1)
    return bytes(image)


@pytest.mark.parametrize(("code", "make"), [pytest.param(*case[1:], id=case[0]) for case in HOSTILE])
def test_refusal(code: str, make: Callable[[], bytes]) -> None:
    with pytest.raises(DataError) as caught:
        read_image(make())
    assert caught.value.code == code


def test_a_memoryview_will_do() -> None:
    image = write_image(Directory(entries={b"x": Fifo()}))
    assert list(read_image(memoryview(image)).entries) == [b"x"]


@pytest.mark.parametrize("name", ["hard-links", "overlay-xattrs", "shared-xattrs", "whiteouts", "directory-blocks"])
def test_flipped_bytes_raise_nothing_else(name: str) -> None:
    """Every survivor can be printed, too; no mutation takes long."""
    image = write_image(parse_dump((VECTORS / f"{name}.dump").read_bytes()), min_version=1)
    used = [at for at in range(len(image)) if image[at]]
    chance = random.Random(name)
    outcomes: Counter[str] = Counter()
    for _ in range(120):
        broken = bytearray(image)
        for _ in range(chance.choice((1, 1, 2, 8))):
            broken[chance.choice(used)] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        started = time.monotonic()
        try:
            print_dump(read_image(bytes(broken)))
            outcomes["read"] += 1
        except DataError as error:
            outcomes[error.code] += 1
        assert time.monotonic() - started < 5
    assert len(outcomes) > 3


def test_replace_keeps_values_apart() -> None:
    """A changed copy of a linked node is another node."""
    node = RegularFile(nlink=2)
    tree = Directory(entries={b"a": node, b"b": replace(node)})
    back = read_image(write_image(tree))
    assert back.entries[b"a"] is not back.entries[b"b"]
