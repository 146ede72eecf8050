# SPDX-License-Identifier: MIT
"""Whole layers: those of GNU tar, Python and gzip are read; each hostile one is refused by its own code."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode import native
from powernode.archive.chunked import stream
from powernode.archive.chunked.entry import Entry, Kind, Limits
from powernode.base.errors import DataError
from unit.archive._tars import END, block, content, extended, padded, record

TINY = Limits(entries=20, bytes=1 << 20, header_bytes=40_000)


def read(data: bytes, limits: Limits = TINY) -> list[tuple[Entry, bytes]]:
    return [
        (entry, b"".join(iter(lambda part=part: part.read(1000), b"")))  # type: ignore[misc]
        for entry, part in stream.entries(io.BytesIO(data), limits=limits)
    ]


def names(data: bytes) -> dict[bytes, Kind]:
    return {entry.path: entry.kind for entry, _ in read(data)}


def zstd(data: bytes) -> bytes:
    package = pytest.importorskip("zstandard", reason="no zstandard to compress with")
    compressed: bytes = package.ZstdCompressor().compress(data)
    return compressed


GOOD = block(b"./", kind=b"5") + content(b"hello", b"./etc/motd") + END


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_any_usual_compression(compress: Callable[[bytes], bytes]) -> None:
    assert [(entry.path, data) for entry, data in read(compress(GOOD))] == [(b"", b""), (b"etc/motd", b"hello")]


def test_several_frames_and_skippable_ones_are_one_archive() -> None:
    parts = [zstd(GOOD[:700]), b"\x50\x2a\x4d\x18\x03\0\0\0abc", zstd(GOOD[700:]), b"\x5f\x2a\x4d\x18\0\0\0\0"]
    assert read(b"".join(parts)) == read(GOOD)


def test_gnu_tar(tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("no tar")
    tree = tmp_path / "tree"
    deep = tree / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x" * 700)
    (tree / "link").symlink_to("t" * 300)
    (tree / "hard").hardlink_to(deep / "file")
    for form in ("gnu", "pax", "ustar"):
        if form == "ustar":
            shutil.rmtree(tree / ("d" * 200))
            (tree / "link").unlink()
            (tree / "file").hardlink_to(tree / "hard")
        done = subprocess.run(["tar", f"--format={form}", "-C", tree, "-cf", "-", "."], capture_output=True, check=True)
        found = {entry.path: entry for entry, _ in read(done.stdout)}
        assert set(found) == {b""} | {bytes(path.relative_to(tree)) for path in tree.rglob("*")}
        assert sorted(entry.kind.value for entry in found.values()).count("hardlink") == 1
        if form != "ustar":
            assert found[b"link"].target == b"t" * 300


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_python_tarfile(form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        info = tarfile.TarInfo("é" * 120)
        info.size, info.uid, info.mtime = 3, 3_000_000, 1.5 if form == tarfile.PAX_FORMAT else 1
        if form == tarfile.PAX_FORMAT:
            info.pax_headers = {"SCHILY.xattr.user.a": "v", "comment": "c"}
        archive.addfile(info, io.BytesIO(b"abc"))
    ((entry, data),) = read(out.getvalue())
    assert (entry.path, entry.uid, entry.mtime_s, data) == ("é".encode() * 120, 3_000_000, 1, b"abc")
    assert entry.xattrs == (((b"user.a", b"v"),) if form == tarfile.PAX_FORMAT else ())


def test_times_before_1970_are_rounded_down() -> None:
    data = extended(record(b"mtime", b"-1.5")) + block() + extended(record(b"mtime", b"-0.5")) + block(b"g") + END
    assert [entry.mtime_s for entry, _ in read(data)] == [-2, -1]


def test_parents_that_nobody_named() -> None:
    assert names(block(b"a/b/c") + block(b"a/b", kind=b"5") + END) == {b"a/b/c": Kind.FILE, b"a/b": Kind.DIRECTORY}


BAD_SUM = bytearray(block())
BAD_SUM[0] ^= 1
HOSTILE: dict[str, tuple[str, bytes]] = {
    "a way out": ("path.traversal", block(b"../x")),
    "a way out in the middle": ("path.traversal", block(b"a/../../x")),
    "a way out by a long name": ("path.traversal", extended(record(b"path", b"a/../../x")) + block()),
    "a way out by GNU's long name": ("path.traversal", extended(b"../x\0", b"L") + block()),
    "a way out by the prefix": ("path.traversal", block(b"x", prefix=b"..")),
    "two slashes": ("path.traversal", block(b"a//b")),
    "no name": ("path.traversal", block(b"")),
    "an absolute name": ("path.absolute", block(b"/etc/passwd")),
    "a NUL in a long name": ("path.nul", extended(record(b"path", b"a\0b")) + block()),
    "a name that is too long": ("path.long", extended(record(b"path", b"n" * 256)) + block()),
    "a path that is too long": ("path.long", extended(record(b"path", b"n/" * 2100)) + block()),
    "a name that is not UTF-8": ("path.utf8", block(b"\xff")),
    "a hard link to outside": ("path.traversal", block(kind=b"1", target=b"../x")),
    "a hard link to an absolute name": ("path.absolute", block(kind=b"1", target=b"/etc/shadow")),
    "a hard link to nothing": ("hardlink", block(kind=b"1", target=b"g")),
    "a hard link to what comes later": ("hardlink", block(kind=b"1", target=b"g") + block(b"g")),
    "a hard link to a directory": ("hardlink", block(b"d", kind=b"5") + block(kind=b"1", target=b"d")),
    "a hard link to a link": ("hardlink", block(b"s", kind=b"2", target=b"t") + block(kind=b"1", target=b"s")),
    "a character device": ("device", block(kind=b"3")),
    "a block device": ("device", block(kind=b"4")),
    "a pipe": ("device", block(kind=b"6")),
    "an unknown type": ("type", block(kind=b"Z")),
    "a volume label": ("type", block(kind=b"V")),
    "GNU's sparse file": ("sparse", block(kind=b"S")),
    "a sparse file of pax": ("sparse", extended(record(b"GNU.sparse.major", b"1")) + block()),
    "a root that is a file": ("root", block(b".")),
    "a root that is a link": ("root", block(b".", kind=b"2", target=b"/")),
    "a name twice": ("duplicate", block(b"a") + block(b"./a")),
    "a directory twice": ("duplicate", block(b"a", kind=b"5") + block(b"a", kind=b"5")),
    "a file where a directory is": ("duplicate", block(b"a", kind=b"5") + block(b"a")),
    "a link where a directory is implied": ("duplicate", block(b"a/b") + block(b"a", kind=b"2", target=b"/")),
    "through a link": ("through", block(b"a", kind=b"2", target=b"/etc") + block(b"a/passwd")),
    "through a file": ("through", block(b"a") + block(b"a/b/c")),
    "a whiteout": ("whiteout", block(b"d/.wh.a")),
    "an opaque mark": ("whiteout", block(b"d/.wh..wh..opq")),
    "a checksum that does not fit": ("header", bytes(BAD_SUM)),
    "a number of letters": ("header", block(number=b"abcdefghijk\0")),
    "a negative size": ("size", block(number=b"\xff" * 12)),
    "a size beyond everything": ("size", block(number=b"\x80" + b"\x7f" * 11)),
    "a directory with content": ("header", block(b"d", kind=b"5", size=1)),
    "a link to nothing": ("target", block(kind=b"2")),
    "a link with a NUL": ("target", extended(record(b"linkpath", b"a\0b")) + block(kind=b"2")),
    "a huge extended header": ("header-size", block(b"x", kind=b"x", size=1 << 40)),
    "a huge long name": ("header-size", block(b"x", kind=b"L", size=1 << 20)),
    "an extended header cut short": ("pax", extended(b"99 path=a\n") + block()),
    "an extended header without a length": ("pax", extended(b"path=a\n") + block()),
    "an extended header with a length of 0": ("pax", extended(b"0 path=a\n") + block()),
    "an extended header that is not a line": ("pax", extended(b"8 path=a") + block()),
    "a size of letters": ("pax", extended(record(b"size", b"many")) + block()),
    "a time of letters": ("pax", extended(record(b"mtime", b"now")) + block()),
    "an owner beyond 32 bits": ("number", extended(record(b"uid", b"4294967296")) + block()),
    "a negative owner": ("number", extended(record(b"gid", b"-1")) + block()),
    "a time in the year 10000": ("time", extended(record(b"mtime", b"253402300800")) + block()),
    "too much in attributes": ("xattr", extended(record(b"SCHILY.xattr.user.a", bytes(33_000))) + block()),
    "many extended headers": ("header-size", extended(record(b"comment", bytes(9000))) * 5 + block()),
    "an attribute without a name": ("xattr", extended(record(b"SCHILY.xattr.", b"v")) + block()),
    "a header for everything": ("pax-global", extended(record(b"path", b"x"), b"g") + block()),
    "a header for nothing": ("header", extended(record(b"path", b"x"))),
    "too many entries": ("entries", b"".join(block(b"f%d" % number) for number in range(41))),
    "too many headers": ("entries", extended(record(b"comment", b"x")) * 41),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_each_defect_has_its_code(what: str) -> None:
    code, data = HOSTILE[what]
    with pytest.raises(DataError) as refused:
        read(data + END)
    assert refused.value.code == f"archive.layer.{code}"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "archive.layer.truncated"),
        (GOOD[:-1024], "archive.layer.truncated"),
        (GOOD[:1030], "archive.layer.truncated"),
        (GOOD + b"x", "archive.layer.trailing"),
        (block(size=2 << 20) + bytes(2 << 20) + END, "archive.data.too-large"),
        (gzip.compress(GOOD)[:-20], "archive.data.truncated"),
        (gzip.compress(bytes(4 << 20)), "archive.data.too-large"),
        (gzip.compress(content(bytes(4 << 20)) + END), "archive.data.too-large"),
    ],
    ids=["nothing", "no end mark", "half a file", "more behind", "too large", "half a gzip", "zeros", "gzip bomb"],
)
def test_where_archives_end(data: bytes, code: str) -> None:
    with pytest.raises(DataError) as refused:
        read(data)
    assert refused.value.code == code


def test_a_zstd_bomb_is_cut_off() -> None:
    with pytest.raises(DataError) as refused:
        read(zstd(content(bytes(256 << 20)) + END))
    assert refused.value.code == "archive.data.too-large"


def test_half_a_frame() -> None:
    with pytest.raises(DataError) as refused:
        read(zstd(GOOD)[:-5])
    # zstandard does not tell; the archive does.
    assert refused.value.code == ("archive.layer.truncated" if native.library() is None else "archive.zstd.truncated")


def test_what_is_not_read_is_skipped() -> None:
    found = [
        entry.path
        for entry, _ in stream.entries(io.BytesIO(content(bytes(5000), b"a") + block(b"b") + END), limits=TINY)
    ]
    assert found == [b"a", b"b"]
    assert padded(b"abc").endswith(b"\0")


class Endless:
    """An archive that goes on for as long as somebody reads it, made as it is read."""

    def __init__(self, part: Callable[[int], bytes]) -> None:
        self._part = part
        self._rest = b""
        self.parts = 0

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = self._part(self.parts)
            self.parts += 1
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def peak_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def attributes(number: int, size: int) -> bytes:
    return extended(record(b"SCHILY.xattr.user.a", b"%08d" % number + bytes(size))) + block(b"f%d" % number)


def deep(number: int) -> bytes:
    return extended(record(b"path", b"%d/" % number + b"a/" * 2000 + b"f")) + block()


ENDLESS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "extended headers": ("header-size", lambda number: extended(record(b"SCHILY.xattr.%d" % number, bytes(100_000)))),
    "global headers": ("header-size", lambda number: extended(record(b"comment", bytes(100_000)), b"g")),
    "long names": ("header-size", lambda number: extended(bytes(100_000), b"L")),
    "extended attributes": ("names", lambda number: attributes(number, 20_000)),
    "small attributes": (
        "names",
        lambda number: (
            extended(b"".join(record(b"SCHILY.xattr.%d" % n, b"") for n in range(2000))) + block(b"f%d" % number)
        ),
    ),
    "targets": (
        "names",
        lambda number: extended(record(b"linkpath", b"t" * 4000)) + block(b"l%d" % number, kind=b"2"),
    ),
    "deep names": ("names", deep),
    "implied folders": ("entries", lambda number: block(b"%d/b/c/d/e/f/g" % number)),
    "entries": ("entries", lambda number: block(b"%d" % number)),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_the_memory_cannot_be_filled(what: str) -> None:
    code, part = ENDLESS[what]
    source = Endless(part)
    limits = Limits(entries=3000, header_bytes=1 << 20, names_bytes=2 << 20)
    kept: list[Entry] = []

    def read_all() -> None:
        with pytest.raises(DataError) as refused:
            kept.extend(entry for entry, _ in stream.entries(source, limits=limits))
        assert refused.value.code == f"archive.layer.{code}"

    assert peak_bytes(read_all) < 16 << 20
    assert source.parts <= limits.entries + 1


def test_the_archive_is_hashed_on_the_way() -> None:
    data = content(bytes(300_000), b"a") + content(b"x", b"b") + END + bytes(9000)
    diff_id = hashlib.sha256()
    for _, part in stream.entries(io.BytesIO(gzip.compress(data)), limits=TINY, diff_id=diff_id):
        part.read(10)
    assert diff_id.digest() == hashlib.sha256(data).digest()
