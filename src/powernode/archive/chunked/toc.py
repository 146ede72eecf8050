# SPDX-License-Identifier: MIT
"""The table of contents of a zstd:chunked layer: every entry, and which bytes of the blob hold its content.

Invariants: `encode` writes canonical JSON that podman's partial pull takes; `decode` takes nothing but what this
library could have written: the entries of one tree, parents first, every name once, contents in the order of the blob
without overlapping, an fs-verity digest for each file above 64 bytes and the content of every smaller one. So the
composefs image follows from the TOC alone. Members that it does not know are skipped; other types are refused. A
long text is parsed in pieces of whole entries, so that no text becomes much more in memory than its entries are.

Out of scope: where the TOC is (`position`), whether it is the right one (the digest in the annotation).

    toc = decode(data, limits=Limits())
    toc.entries[0].path, toc.tar_split_digest
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from powernode.archive.chunked._tar import member_name
from powernode.archive.chunked.entry import INLINE_MAX_BYTES, Kind, Limits, Names, TocEntry, check_values, clean_path
from powernode.base import canonical
from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Toc", "decode", "encode"]

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})\Z")
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)
_EPOCH = datetime.datetime(1970, 1, 1)
_OURS = {"fsVerityDigest", "inlineContent"}
_REFUSED_TYPES = {
    "hardlink": "a hard link",
    "char": "a character device",
    "block": "a block device",
    "fifo": "a named pipe",
    "chunk": "a part of a file",
}
_PIECE_BYTES = 1 << 20  # of text that is parsed at once; four times what an entry can take
_HEAD = b'{"entries":['
_STARTS = (b'},{"d', b'},{"g')  # of an entry: `digest` or `gid`; what ends a text in it is never followed by a letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Toc:
    entries: tuple[TocEntry, ...]
    tar_split_digest: str | None = None


def encode(entries: Sequence[TocEntry], tar_split_digest: str) -> bytes:
    document: Json = {
        "version": 1,
        "tarSplitDigest": tar_split_digest,
        "entries": [_document(entry) for entry in entries],
    }
    return canonical.encode(document)


def decode(data: bytes, *, limits: Limits) -> Toc:
    if len(data) > limits.toc_bytes:
        raise _refused("size", "the table of contents is too large", f"at most {limits.toc_bytes} bytes")
    pieces = _pieces(data)
    document = _parsed(next(pieces))
    if not isinstance(document, dict) or document.get("version") != 1:
        raise _refused("version", "this is no table of contents of version 1")
    split = document.get("tarSplitDigest")
    if split is not None and not (isinstance(split, str) and _SHA256.match(split)):
        raise _refused("value", "the digest of the tar-split data is malformed")
    names = Names(limits, implied_parents=False)
    found: list[TocEntry] = []
    end = total = 0
    for entry in map(_entry, _entries(document, pieces)):
        if not found and entry.path:
            raise _foreign()
        if len(found) == limits.entries:
            raise _refused("entries", "the table of contents has too many entries", f"at most {limits.entries}")
        names.add(entry)
        check_values(entry)
        if entry.size:
            if not end < entry.offset < entry.end_offset:
                raise _refused("offset", f"{entry.path!r} overlaps the content before it", found=str(entry.offset))
            end = entry.end_offset
            total += entry.size
        found.append(entry)
    if not found:
        raise _refused("entries", "the table of contents has no entries")
    if total > limits.bytes:
        raise _refused("size", "the files are larger than allowed", f"at most {limits.bytes}", str(total))
    return Toc(entries=tuple(found), tar_split_digest=split)


def _pieces(data: bytes) -> Iterator[bytes]:
    """The document, and, if it is a long one, without its entries, which follow as lists of some of them each."""
    if len(data) <= _PIECE_BYTES:
        yield data
        return
    at, end = len(_HEAD), data.rfind(b"]", len(data) - _PIECE_BYTES)
    if not data.startswith(_HEAD) or end < 0:
        raise _foreign()
    yield _HEAD + data[end:]
    while at < end:
        cut = end
        if end - at > _PIECE_BYTES:
            cut = max(data.rfind(start, at, at + _PIECE_BYTES) for start in _STARTS) + 1
        if cut <= at:
            raise _foreign()
        yield b"[" + data[at:cut] + b"]"
        at = cut + 1


def _entries(document: dict[str, Json], pieces: Iterator[bytes]) -> Iterator[Json]:
    yield from _list(document.get("entries"))
    for piece in pieces:
        yield from _list(_parsed(piece))


def _parsed(data: bytes) -> Json:
    return canonical.decode(data, what="the table of contents", max_bytes=2 * _PIECE_BYTES)


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise _refused("entries", "the table of contents has no list of entries")
    return value


def _document(entry: TocEntry) -> Json:
    document: dict[str, Json] = {
        "type": entry.kind.value,
        "name": member_name(entry).decode(),
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "modtime": (_EPOCH + datetime.timedelta(seconds=entry.mtime_s)).isoformat() + "Z",
    }
    if entry.xattrs:
        document["xattrs"] = {name.decode(): base64.b64encode(value).decode() for name, value in entry.xattrs}
    if entry.kind is Kind.SYMLINK:
        document["linkName"] = entry.target.decode()
    if entry.kind is Kind.FILE:
        document["size"] = entry.size
    if entry.size:
        assert entry.digest is not None
        document |= {
            "digest": f"sha256:{entry.digest.hex()}",
            "offset": entry.offset,
            "endOffset": entry.end_offset,
        }
        if entry.content is not None:
            document["inlineContent"] = base64.b64encode(entry.content).decode()
        elif entry.verity is not None:
            document["fsVerityDigest"] = entry.verity.hex()
    return document


def _entry(document: Json) -> TocEntry:
    if not isinstance(document, dict):
        raise _refused("value", "an entry is not an object")
    name = _text(document, "name")
    kind = _kind(_text(document, "type"), name)
    path = clean_path(name.encode())
    size = _number(document, "size") if kind is Kind.FILE else 0
    if size and not _OURS & document.keys():
        raise _foreign()
    entry = TocEntry(
        path=path,
        kind=kind,
        mode=_number(document, "mode"),
        uid=_number(document, "uid"),
        gid=_number(document, "gid"),
        mtime_s=_time(document),
        xattrs=_xattrs(document, name),
        size=size,
        target=_text(document, "linkName").encode() if kind is Kind.SYMLINK else b"",
        content=_content(document, name, size),
        verity=_verity(document, name, size),
        digest=_digest(document, name) if size else None,
        offset=_number(document, "offset") if size else 0,
        end_offset=_number(document, "endOffset") if size else 0,
    )
    if member_name(entry) != name.encode():
        raise _refused("name", f"{name[:200]!r} is no name of this library's", expected=repr(member_name(entry)))
    return entry


def _kind(text: str, name: str) -> Kind:
    if text in ("reg", "dir", "symlink"):
        return Kind(text)
    code = "device" if text in ("char", "block", "fifo") else text if text in _REFUSED_TYPES else "type"
    what = _REFUSED_TYPES.get(text, "of a type that layers do not have")
    raise _refused(code, f"{name[:200]!r} is {what}", "files, directories and symbolic links")


def _content(document: dict[str, Json], name: str, size: int) -> bytes | None:
    if not 0 < size <= INLINE_MAX_BYTES:
        return None
    content = _base64(document.get("inlineContent"), name, "inline-content")
    if len(content) != size:
        raise _refused("inline-content", f"{name[:200]!r}: its content is not of its size", str(size))
    return content


def _verity(document: dict[str, Json], name: str, size: int) -> bytes | None:
    if size <= INLINE_MAX_BYTES:
        return None
    text = document.get("fsVerityDigest")
    if not (isinstance(text, str) and _HEX.match(text)):
        raise _refused("verity", f"{name[:200]!r} has no fs-verity digest", "fsVerityDigest of 64 hexadecimal digits")
    return bytes.fromhex(text)


def _digest(document: dict[str, Json], name: str) -> bytes:
    match = _SHA256.match(_text(document, "digest"))
    if match is None:
        raise _refused("digest", f"{name[:200]!r}: its digest is malformed", "sha256:HEX")
    return bytes.fromhex(match[1])


def _xattrs(document: dict[str, Json], name: str) -> tuple[tuple[bytes, bytes], ...]:
    xattrs = document.get("xattrs", {})
    if not isinstance(xattrs, dict):
        raise _refused("value", f"{name[:200]!r}: its extended attributes are no object")
    return tuple(sorted((key.encode(), _base64(value, name, "value")) for key, value in xattrs.items()))


def _base64(value: Json, name: str, code: str) -> bytes:
    try:
        if not isinstance(value, str):
            raise ValueError
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        raise _refused(code, f"{name[:200]!r}: what should be base64 is not") from None


def _time(document: dict[str, Json]) -> int:
    text = _text(document, "modtime")
    try:
        if not _TIME.match(text):
            raise ValueError
        since = datetime.datetime.fromisoformat(text[:-1]) - _EPOCH
    except ValueError:
        raise _refused("time", "a time is malformed", "2025-08-09T00:00:00Z", repr(text[:100])) from None
    return since.days * 86400 + since.seconds


def _text(document: dict[str, Json], member: str) -> str:
    value = document.get(member)
    if not isinstance(value, str):
        raise _refused("value", f"an entry has no text {member!r}")
    return value


def _number(document: dict[str, Json], member: str) -> int:
    value = document.get(member, 0)
    if type(value) is not int or value < 0:
        raise _refused("value", f"an entry has no number {member!r}")
    return value


def _foreign() -> DataError:
    return DataError(
        "archive.toc.foreign",
        "the layer's table of contents was made by another tool, and no image follows from it",
        expected="canonical JSON, the root first, and for files fsVerityDigest or inlineContent",
        hint="it takes a module that was built with `powernode module build`",
    )


def _refused(what: str, message: str, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"archive.toc.{what}", message, expected=expected, found=found)
