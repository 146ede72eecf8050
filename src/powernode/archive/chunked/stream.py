# SPDX-License-Identifier: MIT
"""The entries of a whole layer as it comes off the wire: ours, or plain tar, tar+gzip and tar+zstd made by others.

Invariants: memory does not depend on the data beyond the names; everything is within `Limits`; nothing is believed
before a header's checksum fits. POSIX.1-2001 and GNU's long names are understood; device nodes, sparse files, unknown
types, whiteouts, names that lead elsewhere, names that come twice, and names below what is no directory are refused,
each with a code of its own. A hard link must name a file that came before. The archive must have its end mark and
nothing but zeros behind it.

Out of scope: what is done with the entries (`module.layer`); Debian packages (`archive.tar`).

    for entry, content in entries(file, limits=Limits()):
        print(entry.path, entry.kind, len(content.read(4096)))
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace

from powernode.archive._blocks import (
    BLOCK,
    DEVICES,
    ZEROS,
    Content,
    check_sum,
    exactly,
    nothing_but_zeros,
    number,
    padding,
    until_zero,
    ustar_name,
)
from powernode.archive._zstd import Decompressed
from powernode.archive.ar import Readable
from powernode.archive.chunked import _pax
from powernode.archive.chunked.entry import Entry, Kind, Limits, Names, check_values, clean_path
from powernode.archive.decompress import Bounded, open_stream
from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash as Hash

__all__ = ["Content", "entries"]

_CODE = "archive.layer"
_GZIP = b"\x1f\x8b"
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"1": Kind.HARDLINK, b"2": Kind.SYMLINK}
_KINDS |= {b"5": Kind.DIRECTORY}
_LONG_NAME, _LONG_TARGET, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"


def entries(source: Readable, *, limits: Limits, diff_id: Hash | None = None) -> Iterator[tuple[Entry, Content]]:
    """Every entry in the order of the archive; the content of what is no file is empty.

    `diff_id` is given the whole uncompressed archive as it is read, to its end.
    """
    archive = _archive(source, limits)
    stream = _Buffered(archive if diff_id is None else _Hashed(archive, diff_id))
    names = Names(limits, implied_parents=True)
    extended: dict[bytes, bytes] = {}
    count = extended_bytes = 0
    while (header := exactly(stream, BLOCK, _CODE)) != ZEROS:
        count += 1
        if count > 2 * limits.entries:
            raise _refused("entries", "the layer has too many entries", f"at most {limits.entries}")
        check_sum(header, _CODE)
        kind, size = header[156:157], number(header[124:136], _CODE)
        if kind in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_TARGET):
            extended_bytes += size
            if size < 0 or extended_bytes > limits.header_bytes:
                most = f"at most {limits.header_bytes} bytes for one entry"
                raise _refused("header-size", "an extended header is too long", most, str(extended_bytes))
            _extend(extended, kind, exactly(stream, size + padding(size), _CODE)[:size])
            continue
        size = _pax.number(extended, b"size", size)
        entry = _entry(header, kind, size, extended)
        extended, extended_bytes = {}, 0
        _admit(names, entry)
        content = Content(stream, entry.size, _CODE)
        yield entry, content
        content.finish()
    if extended:
        raise _refused("header", "an extended header belongs to no entry")
    nothing_but_zeros(stream, _CODE)


def _archive(source: Readable, limits: Limits) -> Readable:
    head = exactly(source, 4, _CODE)
    whole = _Behind(head, source)
    if head.startswith(_GZIP):
        return open_stream(whole, "gz", limit_bytes=limits.bytes)
    return Bounded(Decompressed(whole) if _ZSTD.match(head) else whole, limits.bytes)


def _extend(extended: dict[bytes, bytes], kind: bytes, data: bytes) -> None:
    if kind == _PAX:
        extended |= _pax.records(data)
    elif kind == _PAX_GLOBAL:
        if unknown := set(_pax.records(data)) - {b"comment"}:
            raise _refused("pax-global", "a header for all entries that changes them", found=repr(sorted(unknown)[0]))
    else:
        extended[b"path" if kind == _LONG_NAME else b"linkpath"] = until_zero(data)


def _entry(header: bytes, kind: bytes, size: int, extended: dict[bytes, bytes]) -> Entry:
    name = extended.get(b"path") or ustar_name(header)
    shown = repr(name[:200].decode("utf-8", "replace"))
    if kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in extended):
        raise _refused("sparse", f"{shown} is stored as a sparse file", "files with all of their bytes")
    if kind in DEVICES:
        raise _refused("device", f"{shown} is {DEVICES[kind]}", "files, directories and links")
    if kind not in _KINDS:
        raise _refused("type", f"{shown} is of a type that layers do not have", found=repr(kind))
    meaning = _KINDS[kind]
    if meaning is Kind.FILE and name.endswith(b"/"):
        meaning = Kind.DIRECTORY  # how tar had them before there was a type for it
    if size and meaning is not Kind.FILE:
        raise _refused("header", f"{shown} is no file, but has content", found=f"{size} bytes")
    target = extended.get(b"linkpath") or until_zero(header[157:257])
    if meaning is Kind.HARDLINK:
        target = clean_path(target)
    return Entry(
        path=clean_path(name),
        kind=meaning,
        mode=number(header[100:108], _CODE) & 0o7777,
        uid=_pax.number(extended, b"uid", number(header[108:116], _CODE)),
        gid=_pax.number(extended, b"gid", number(header[116:124], _CODE)),
        mtime_s=_pax.time(extended, number(header[136:148], _CODE)),
        xattrs=_pax.xattrs(extended),
        size=size,
        target=target if meaning in (Kind.SYMLINK, Kind.HARDLINK) else b"",
    )


def _admit(names: Names, entry: Entry) -> None:
    if entry.kind is Kind.HARDLINK:
        if names.kind(entry.target) is not Kind.FILE:
            shown = repr(entry.path[:200].decode("utf-8", "replace"))
            raise _refused("hardlink", f"{shown} is a hard link to what is no file of this layer before it")
        names.add(replace(entry, kind=Kind.FILE))
    else:
        names.add(entry)
    check_values(entry)


class _Behind:
    """`head`, then the rest of the stream it was read from."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        return self._head.read(size) or self._rest.read(size)


class _Hashed:
    """What is read of a stream is hashed."""

    def __init__(self, stream: Readable, to: Hash) -> None:
        self._stream = stream
        self._to = to

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._to.update(data)
        return data


class _Buffered:
    """Small reads from large ones."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._data = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        if not self._data:
            if size >= 1 << 17:
                return self._stream.read(size)
            self._data = memoryview(self._stream.read(1 << 17))
        data, self._data = self._data[:size], self._data[size:]
        return bytes(data)


def _refused(what: str, message: str, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"{_CODE}.{what}", message, expected=expected, found=found)
