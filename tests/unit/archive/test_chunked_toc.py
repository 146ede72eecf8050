# SPDX-License-Identifier: MIT
"""The table of contents: what is written is read back; what is not of one tree in one order is refused by its code."""

from __future__ import annotations

import base64
import json
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from powernode.archive.chunked import toc
from powernode.archive.chunked.entry import Kind, Limits, TocEntry
from powernode.archive.chunked.position import Part, Position
from powernode.base.errors import DataError

SPLIT = "sha256:" + "ab" * 32
ROOT = TocEntry(path=b"", kind=Kind.DIRECTORY, mode=0o755)
FOLDER = TocEntry(path=b"d", kind=Kind.DIRECTORY, mode=0o1777, uid=5, gid=6, mtime_s=-5)
SMALL = TocEntry(
    path=b"d/s", kind=Kind.FILE, mode=0o644, size=3, content=b"a\0b", digest=bytes(32), offset=10, end_offset=20
)
LARGE = TocEntry(
    path="d/é".encode(),
    kind=Kind.FILE,
    mode=0o4755,
    size=65,
    verity=b"v" * 32,
    digest=b"d" * 32,
    offset=30,
    end_offset=50,
    mtime_s=253_402_300_799,
    xattrs=((b"security.capability", b"\0\xff"), (b"user.a", b"")),
)
EMPTY = TocEntry(path=b"e", kind=Kind.FILE, mode=0)
LINK = TocEntry(path=b"l", kind=Kind.SYMLINK, mode=0o777, target="é".encode())
ENTRIES = (ROOT, FOLDER, SMALL, LARGE, EMPTY, LINK)


def document() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(toc.encode(ENTRIES, SPLIT))
    return value


def decode(value: object, limits: Limits | None = None) -> toc.Toc:
    return toc.decode(json.dumps(value).encode(), limits=limits or Limits())


def refusal(value: object, limits: Limits | None = None) -> str:
    with pytest.raises(DataError) as refused:
        decode(value, limits)
    return refused.value.code


def test_there_and_back() -> None:
    assert toc.decode(toc.encode(ENTRIES, SPLIT), limits=Limits()) == toc.Toc(entries=ENTRIES, tar_split_digest=SPLIT)


def test_names_and_members_are_podman_s() -> None:
    root, folder, small, large, empty, link = document()["entries"]
    assert (root["name"], folder["name"], small["name"]) == ("./", "d/", "d/s")
    assert (folder["type"], empty["type"], link["type"]) == ("dir", "reg", "symlink")
    assert folder["modtime"] == "1969-12-31T23:59:55Z"
    assert large["digest"] == "sha256:" + (b"d" * 32).hex()
    assert (large["offset"], large["endOffset"], large["size"]) == (30, 50, 65)
    assert large["xattrs"] == {"security.capability": "AP8=", "user.a": ""}
    assert large["fsVerityDigest"] == (b"v" * 32).hex()
    assert base64.b64decode(small["inlineContent"]) == b"a\0b"
    assert link["linkName"] == "é"
    assert "digest" not in empty


def test_members_of_others_are_skipped() -> None:
    value = document()
    value["more"] = [1]
    value["entries"][2]["chunkSize"] = 5
    assert decode(value).entries == ENTRIES


def changed(number: int, **members: object) -> dict[str, Any]:
    value = document()
    value["entries"][number] |= members
    value["entries"][number] = {name: member for name, member in value["entries"][number].items() if member != ...}
    return value


def with_entries(*entries: TocEntry) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(toc.encode(entries, SPLIT))
    return value


HOSTILE: dict[str, tuple[str, object]] = {
    "no object": ("toc.version", []),
    "version 2": ("toc.version", document() | {"version": 2}),
    "entries of another type": ("toc.entries", document() | {"entries": {}}),
    "no entries": ("toc.entries", document() | {"entries": []}),
    "an entry that is a number": ("toc.value", document() | {"entries": [1]}),
    "no root": ("toc.foreign", with_entries(EMPTY)),
    "a root that is a file": ("toc.name", changed(0, type="reg")),
    "a hard link": ("toc.hardlink", changed(4, type="hardlink")),
    "a device": ("toc.device", changed(4, type="char")),
    "a pipe": ("toc.device", changed(4, type="fifo")),
    "a part of a file": ("toc.chunk", changed(4, type="chunk")),
    "an unknown type": ("toc.type", changed(4, type="sock")),
    "no type": ("toc.value", changed(4, type=...)),
    "no name": ("toc.value", changed(4, name=5)),
    "a way out": ("path.traversal", changed(4, name="../e")),
    "an absolute name": ("path.absolute", changed(4, name="/e")),
    "a NUL in a name": ("path.nul", changed(4, name="a\0b")),
    "half a surrogate pair": ("surrogate", changed(4, name="\ud800")),
    "a name that is too long": ("path.long", changed(4, name="n" * 256)),
    "another spelling of a name": ("toc.name", changed(4, name="./e")),
    "a directory without its slash": ("toc.name", changed(1, name="d")),
    "a file with a slash": ("toc.name", changed(4, name="e/")),
    "a name twice": ("duplicate", with_entries(*ENTRIES, EMPTY)),
    "a child before its parent": ("parent", with_entries(ROOT, SMALL, FOLDER)),
    "below a link": ("through", with_entries(ROOT, replace(LINK, path=b"d"), SMALL)),
    "a whiteout": ("whiteout", changed(4, name=".wh.e")),
    "a negative owner": ("toc.value", changed(4, uid=-1)),
    "an owner of letters": ("toc.value", changed(4, uid="root")),
    "an owner beyond 32 bits": ("number", changed(4, gid=1 << 32)),
    "type bits in the mode": ("number", changed(4, mode=0o100644)),
    "true for a number": ("toc.value", changed(4, uid=True)),
    "a time with a zone": ("toc.time", changed(4, modtime="2025-08-09T00:00:00+02:00")),
    "a time with fractions": ("toc.time", changed(4, modtime="2025-08-09T00:00:00.5Z")),
    "the 13th month": ("toc.time", changed(4, modtime="2025-13-09T00:00:00Z")),
    "no time": ("toc.value", changed(4, modtime=...)),
    "a link to nothing": ("target", changed(5, linkName="")),
    "a target with a NUL": ("target", changed(5, linkName="a\0b")),
    "a size beyond everything": ("size", changed(3, size=1 << 60)),
    "no verity": ("toc.foreign", changed(3, fsVerityDigest=...)),
    "verity of another length": ("toc.verity", changed(3, fsVerityDigest="ab")),
    "verity in capitals": ("toc.verity", changed(3, fsVerityDigest="AB" * 32)),
    "no digest": ("toc.value", changed(3, digest=...)),
    "a digest of another kind": ("toc.digest", changed(3, digest="sha512:" + "ab" * 64)),
    "no content": ("toc.foreign", changed(2, inlineContent=...)),
    "content of another size": ("toc.inline-content", changed(2, inlineContent="AAAAAAAA")),
    "content that is not base64": ("toc.inline-content", changed(2, inlineContent="a\n=")),
    "no offset": ("toc.offset", changed(3, offset=...)),
    "an end before its start": ("toc.offset", changed(3, endOffset=30)),
    "contents that overlap": ("toc.offset", changed(3, offset=19)),
    "attributes in a list": ("toc.value", changed(3, xattrs=["user.a"])),
    "an attribute that is not base64": ("toc.value", changed(3, xattrs={"user.a": "?"})),
    "an attribute without a name": ("xattr", changed(3, xattrs={"": ""})),
    "too much in attributes": ("xattr", changed(3, xattrs={"user.a": "AAAA" * 11_000})),
    "a malformed digest of tar-split": ("toc.value", document() | {"tarSplitDigest": "sha256:x"}),
    "larger in all than allowed": ("toc.size", changed(3, size=33 << 30)),
    "deep": ("depth", document() | {"x": json.loads("[" * 30 + "]" * 30)}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_each_defect_has_its_code(what: str) -> None:
    code, value = HOSTILE[what]
    found = refusal(value)
    assert found in (f"archive.{code}", f"archive.layer.{code}", f"json.{code}")


def test_a_key_twice_is_refused() -> None:
    data = toc.encode(ENTRIES, SPLIT).replace(b'"version":1', b'"version":1,"version":1')
    with pytest.raises(DataError) as refused:
        toc.decode(data, limits=Limits())
    assert refused.value.code == "json.duplicate-key"


def test_limits() -> None:
    assert refusal(document(), Limits(entries=5)) == "archive.toc.entries"
    assert refusal(document(), Limits(toc_bytes=100)) == "archive.toc.size"
    assert refusal(document(), Limits(names_bytes=50)) == "archive.layer.names"


def buildah(*, root: bool) -> bytes:
    """As it writes them: no `./` in front, no digests of fs-verity."""
    entries = [
        {"type": "dir", "name": "etc/", "mode": 0o755, "modtime": "2025-08-09T00:00:00Z"},
        {"type": "reg", "name": "etc/a", "mode": 0o644, "size": 99, "modtime": "2025-08-09T00:00:00Z", "offset": 9}
        | {"endOffset": 30, "digest": SPLIT},
    ]
    if root:
        entries.insert(0, entries[0] | {"name": "./"})
    return json.dumps({"version": 1, "entries": entries, "tarSplitDigest": SPLIT}).encode()


@pytest.mark.parametrize("root", [False, True])
def test_tables_of_other_tools_are_told_apart(root: bool) -> None:
    with pytest.raises(DataError) as refused:
        toc.decode(buildah(root=root), limits=Limits())
    assert refused.value.code == "archive.toc.foreign"
    assert "powernode module build" in str(refused.value.hint)


def peak_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"{}", b"[]", b'""', b'"%05d"', b'{"a":[]}', b'{"gid":[],"a":[]}'])
@pytest.mark.parametrize(
    "where", [b'{"version":1,"x":[%b],"entries":[{}]}', b'{"entries":[%b],"version":1}', b'{"entries":[{"x":[%b]}]}']
)
def test_a_text_cannot_become_a_multiple_of_itself(text: bytes, where: bytes) -> None:
    data = where.replace(b"%b", text + (b"," + text) * 1_000_000)

    def read() -> None:
        with pytest.raises(DataError) as refused:
            toc.decode(data, limits=Limits())
        assert refused.value.code in ("archive.toc.foreign", "archive.toc.version", "archive.toc.value", "json.syntax")

    assert peak_bytes(read) < 80 << 20


@pytest.mark.parametrize("entry", [FOLDER, LINK, LARGE])
@pytest.mark.parametrize("name", [b"", b'},{"d', b'},{"g', b"},{", b'},{"gid":1', b"]", b"}],", b'{"entries":['])
def test_a_long_table_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch, entry: TocEntry, name: bytes) -> None:
    """Names and attributes that look like the borders of entries are none, wherever a piece of the text ends."""
    monkeypatch.setattr(toc, "_PIECE_BYTES", 2000)
    many = []
    for number in range(200):
        start = 100 * number + 1 if entry.kind is Kind.FILE else 0
        xattrs = ((b"a" + name, name),) if number % 3 else ()
        path = b"%d" % number + name
        many.append(replace(entry, path=path, xattrs=xattrs, offset=start, end_offset=start and start + 50))
    data = toc.encode([ROOT, *many], SPLIT)
    assert toc.decode(data, limits=Limits(entries=201)).entries == (ROOT, *many)


def test_a_long_table_of_other_spelling_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toc, "_PIECE_BYTES", 700)
    assert refusal(document()) == "archive.toc.foreign"
    ours = toc.encode(ENTRIES, SPLIT)
    nested = ours.replace(b'{"entries":[', b'{"entries":[],"x":{"entries":[').replace(b"}]", b"}]}")
    with pytest.raises(DataError) as refused:
        toc.decode(nested, limits=Limits())
    assert refused.value.code in ("json.syntax", "archive.toc.foreign")


# -- where it is -------------------------------------------------------------------------------------------------------

POSITION = Position(
    toc=Part(offset=1008, size=50, uncompressed=200, digest=SPLIT),
    tar_split=Part(offset=1066, size=40, uncompressed=300, digest=SPLIT),
)
SIZE = 1106 + 8 + 64


def test_annotations_and_footer_say_where_the_tables_are() -> None:
    named = Position.parse(POSITION.annotations(), blob_size=SIZE, limits=Limits())
    assert named == replace(POSITION, tar_split=replace(POSITION.tar_split, digest=None))
    footer = POSITION.footer()
    assert footer[:8] == b"\x50\x2a\x4d\x18\x40\0\0\0"
    assert struct.unpack("<7Q8s", footer[8:]) == (1008, 50, 200, 1, 1066, 40, 300, b"GNUlInUx")


KEY = "io.github.containers.zstd-chunked."


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"manifest-checksum": ""}, "missing"),
        ({"manifest-checksum": "sha256:" + "AB" * 32}, "missing"),
        ({"manifest-position": ""}, "position"),
        ({"manifest-position": "1008:50:200"}, "position"),
        ({"manifest-position": "1008:50:-200:1"}, "position"),
        ({"manifest-position": "1008:50:200:2"}, "kind"),
        ({"manifest-position": "1:50:200:1"}, "range"),
        ({"manifest-position": "1008:0:200:1"}, "range"),
        ({"manifest-position": "1008:5000:200:1"}, "range"),
        ({"manifest-position": "9223372036854775807:50:200:1"}, "range"),
        ({"manifest-position": "1008:50:999999999999:1"}, "size"),
        ({"manifest-position": "1008:50:8400000:1"}, "ratio"),
        ({"tarsplit-position": "1066:40"}, "position"),
        ({"tarsplit-position": "1066:40000:300"}, "range"),
    ],
)
def test_positions_that_cannot_be(change: dict[str, str], code: str) -> None:
    annotations = POSITION.annotations() | {KEY + name: value for name, value in change.items()}
    with pytest.raises(DataError) as refused:
        Position.parse(annotations, blob_size=SIZE, limits=Limits())
    assert refused.value.code == f"archive.toc.{code}"
