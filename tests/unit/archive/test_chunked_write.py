# SPDX-License-Identifier: MIT
"""The blob as others see it: frames, archive, tar-split data; read by GNU tar, Python and the zstd command."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from powernode import native
from powernode.archive._zstd import Compressor, Decompressed, decompress
from powernode.archive.chunked import _tar, toc
from powernode.archive.chunked._crc64 import Crc64
from powernode.archive.chunked.entry import Entry, Kind, Limits
from powernode.archive.chunked.write import Written, write
from powernode.base.errors import DataError

pytest.importorskip("zstandard", reason="no zstandard to compress with")

CONTENTS = {b"d/small": b"abc", b"d/large": b"text " * 1000, b"z": bytes(5 << 20), b"n" * 120: b"x" * 512}
XATTRS = ((b"security.capability", b"\1\0\0\2"), (b"user.\xc3\xa9", b"v" * 300))
ENTRIES = [
    Entry(path=b"", kind=Kind.DIRECTORY, mode=0o755, mtime_s=1_700_000_000),
    Entry(path=b"d", kind=Kind.DIRECTORY, mode=0o1777, uid=3_000_000, gid=7, xattrs=XATTRS),
    Entry(path=b"d/large", kind=Kind.FILE, mode=0o4755, size=5000, mtime_s=-5, xattrs=XATTRS, verity=bytes(32)),
    Entry(path=b"d/link", kind=Kind.SYMLINK, mode=0o777, target="é/".encode() * 60),
    Entry(path=b"d/small", kind=Kind.FILE, mode=0o600, size=3, content=b"abc", mtime_s=1 << 33),
    Entry(path=b"empty", kind=Kind.FILE, mode=0, content=None),
    Entry(path=b"n" * 120, kind=Kind.FILE, mode=0o644, size=512, verity=bytes(32)),
    Entry(path=b"z", kind=Kind.FILE, mode=0o644, size=5 << 20, verity=bytes(32)),
]


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    path = tmp_path_factory.mktemp("layer") / "blob"
    with open(path, "wb") as out:
        return path, write(ENTRIES, lambda entry: io.BytesIO(CONTENTS[entry.path]), out.fileno())


def part(layer: tuple[Path, Written], which: str) -> bytes:
    path, written = layer
    where = getattr(written.position, which)
    return decompress(path.read_bytes()[where.offset : where.end], size=where.uncompressed)


def archive_of(layer: tuple[Path, Written]) -> bytes:
    reader = Decompressed(io.BytesIO(layer[0].read_bytes()))
    return b"".join(iter(lambda: reader.read(1 << 20), b""))


def test_every_frame_of_a_content_holds_that_content(layer: tuple[Path, Written]) -> None:
    blob = layer[0].read_bytes()
    for entry in toc.decode(part(layer, "toc"), limits=Limits()).entries:
        if entry.size:
            content = CONTENTS[entry.path]
            assert decompress(blob[entry.offset : entry.end_offset], size=entry.size) == content
            assert entry.digest == hashlib.sha256(content).digest()
    assert blob.endswith(layer[1].position.footer())


def test_the_tables_have_the_digests_that_are_named(layer: tuple[Path, Written]) -> None:
    path, written = layer
    where, blob = written.position, path.read_bytes()
    for table in (where.toc, where.tar_split):
        assert table.digest == f"sha256:{hashlib.sha256(blob[table.offset : table.end]).hexdigest()}"
    assert toc.decode(part(layer, "toc"), limits=Limits()).tar_split_digest == where.tar_split.digest


def test_tar_split_and_contents_make_the_archive_again(layer: tuple[Path, Written]) -> None:
    """As podman does it: raw pieces as they are, contents by name, their checksums compared."""
    out = b""
    for number, line in enumerate(part(layer, "tar_split").splitlines()):
        piece = json.loads(line)
        assert piece["position"] == number
        payload = base64.b64decode(piece["payload"] or "")
        if piece["type"] == 2:
            out += payload
        elif piece["size"]:
            content = CONTENTS[piece["name"].encode()]
            checksum = Crc64()
            checksum.update(content)
            assert (len(content), checksum.digest()) == (piece["size"], payload)
            out += content
    assert out == archive_of(layer)
    assert f"sha256:{hashlib.sha256(out).hexdigest()}" == layer[1].diff_id


def test_python_reads_the_archive(layer: tuple[Path, Written]) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive_of(layer))) as archive:
        members = archive.getmembers()
        for entry, member in zip(ENTRIES, members, strict=True):
            assert member.name.encode() == (entry.path or b".")
            assert (member.mode, member.uid, member.gid, member.mtime) == (
                entry.mode, entry.uid, entry.gid, entry.mtime_s,
            )  # fmt: skip
            assert member.linkname.encode() == entry.target
            names = {name.encode(): value for name, value in member.pax_headers.items() if "SCHILY" in name}
            assert names == {
                b"SCHILY.xattr." + name: value.decode("utf-8", "surrogateescape") for name, value in entry.xattrs
            }
            if entry.size:
                content = archive.extractfile(member)
                assert content is not None
                assert content.read() == CONTENTS[entry.path]


def test_zstd_and_gnu_tar_read_the_blob(layer: tuple[Path, Written], tmp_path: Path) -> None:
    if shutil.which("zstd") is None or shutil.which("tar") is None:
        pytest.skip("no zstd or no tar")
    plain = subprocess.run(["zstd", "-dcq", layer[0]], capture_output=True, check=True).stdout
    assert plain == archive_of(layer)
    listed = subprocess.run(
        ["tar", "--numeric-owner", "--full-time", "--utc", "-tvf", "-"],
        input=plain, capture_output=True, check=True, env=os.environ | {"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert listed.stderr == b""
    lines = listed.stdout.decode().splitlines()
    assert len(lines) == len(ENTRIES)
    assert lines[1].split() == ["drwxrwxrwt", "3000000/7", "0", "1970-01-01", "00:00:00", "d/"]
    assert lines[2].split()[:5] == ["-rwsr-xr-x", "0/0", "5000", "1969-12-31", "23:59:55"]
    subprocess.run(["tar", "-C", tmp_path, "--no-same-owner", "-xf", "-"], input=plain, check=True)
    assert {name: (tmp_path / os.fsdecode(name)).read_bytes() for name in CONTENTS} == CONTENTS


def test_gnu_tar_sees_the_attributes(layer: tuple[Path, Written]) -> None:
    if shutil.which("tar") is None:
        pytest.skip("no tar")
    done = subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-tvvf", "-"],
        input=archive_of(layer),
        capture_output=True,
        check=True,
    )
    assert done.stdout.count(b"x: 4 security.capability") == 2


def test_the_length_of_a_record_counts_itself() -> None:
    for size in (*range(85, 100), *range(985, 1000)):
        entry = Entry(path=b"", kind=Kind.DIRECTORY, mode=0, xattrs=((b"user.a", b"v" * size),))
        text = _tar.header(entry)[512:-512].rstrip(b"\0")
        assert int(text.split()[0]) == len(text)


def test_the_checksum_of_tar_split_is_the_known_one() -> None:
    checksum = Crc64()
    checksum.update(b"1234")
    checksum.update(b"56789")
    assert checksum.digest().hex() == "b90956c775a41001"  # the check value of CRC-64/GO-ISO


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([ENTRIES[1]], "parent"),
        ([ENTRIES[0], ENTRIES[0]], "duplicate"),
        ([ENTRIES[0], Entry(path=b"../x", kind=Kind.FILE, mode=0)], "path.traversal"),
        ([ENTRIES[0], Entry(path=b"./x", kind=Kind.FILE, mode=0)], "name"),
        ([ENTRIES[0], Entry(path=b"x", kind=Kind.HARDLINK, mode=0, target=b"y")], "name"),
        ([ENTRIES[0], Entry(path=b"x", kind=Kind.FILE, mode=0o10000)], "number"),
        ([ENTRIES[0], Entry(path=b"z", kind=Kind.FILE, mode=0, size=5)], "content"),
        ([ENTRIES[0], Entry(path=b"z", kind=Kind.FILE, mode=0, size=6 << 20)], "content"),
    ],
)
def test_entries_that_make_no_layer(entries: list[Entry], code: str, tmp_path: Path) -> None:
    with open(tmp_path / "blob", "wb") as out, pytest.raises(DataError) as refused:
        write(entries, lambda entry: io.BytesIO(CONTENTS[entry.path]), out.fileno())
    assert refused.value.code == f"archive.layer.{code}"


def test_decompress_wants_the_exact_size() -> None:
    data = Compressor(3).frame(b"abc") + Compressor(3).frame(b"def")
    assert decompress(data, size=6) == b"abcdef"
    for size in (5, 7):
        with pytest.raises(DataError) as refused:
            decompress(data, size=size)
        assert refused.value.code == "archive.zstd.size"
    with pytest.raises(DataError) as refused:
        decompress(b"no zstd at all", size=5)
    assert refused.value.code == "archive.zstd.corrupt"


WIDE = bytes.fromhex("28b52ffd 00 88 190000") + b"abc"  # a window of 128 MiB, and one block of three bytes
WIDER = WIDE.replace(b"\0\x88", b"\0\x90")


def test_windows_are_bounded() -> None:
    assert decompress(WIDE, size=3) == b"abc"
    with pytest.raises(DataError) as refused:
        decompress(WIDER, size=3)
    assert refused.value.code == "archive.zstd.corrupt"


def test_a_window_that_finds_no_memory_is_not_the_data_s_fault() -> None:
    if native.library() is None:
        pytest.skip("zstandard does not say what it lacks")
    code = (
        "import resource, sys\n"
        "from powernode.archive._zstd import decompress\n"
        "from powernode.base.errors import PowernodeError\n"
        "from powernode import native; native.library().call('pn_zstd_version')\n"
        "room = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (64 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (room, room))\n"
        "try: decompress(bytes.fromhex(sys.argv[1]), size=3)\n"
        "except PowernodeError as error: print(error.code, end='')"
    )
    done = subprocess.run([sys.executable, "-c", code, WIDE.hex()], capture_output=True, text=True, check=False)
    assert done.stdout == "archive.zstd.memory", done.stderr


def test_small_reads_of_large_frames() -> None:
    data = bytes(range(256)) * 4000
    reader = Decompressed(io.BytesIO(Compressor(3).frame(data)))
    assert b"".join(iter(lambda: reader.read(777), b"")) == data
    assert reader.read(1) == b""
