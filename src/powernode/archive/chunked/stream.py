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

from powernode.archive._zstd import Decompressed
from powernode.archive.ar import Readable
from powernode.archive.chunked import _pax
from powernode.archive.chunked._tar import BLOCK, padding
from powernode.archive.chunked.entry import Entry, Kind, Limits, Names, check_values, clean_path
from powernode.archive.decompress import Bounded, open_stream
from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash as Hash

__all__ = ["Content", "entries"]

_ZEROS = bytes(BLOCK)
_GZIP = b"\x1f\x8b"
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"1": Kind.HARDLINK, b"2": Kind.SYMLINK}
_KINDS |= {b"5": Kind.DIRECTORY}
_DEVICES = {b"3": "a character device", b"4": "a block device", b"6": "a named pipe"}
_LONG_NAME, _LONG_TARGET, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"


class Content:
    """The bytes of one file; usable until the next entry is asked for."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = padding(size)

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        if not data and size and self._left:
            raise _truncated()
        self._left -= len(data)
        return data

    def finish(self) -> None:
        while self.read(1 << 16):
            pass
        _exactly(self._stream, self._padding)


def entries(source: Readable, *, limits: Limits, diff_id: Hash | None = None) -> Iterator[tuple[Entry, Content]]:
    """Every entry in the order of the archive; the content of what is no file is empty.

    `diff_id` is given the whole uncompressed archive as it is read, to its end.
    """
    archive = _archive(source, limits)
    stream = _Buffered(archive if diff_id is None else _Hashed(archive, diff_id))
    names = Names(limits, implied_parents=True)
    extended: dict[bytes, bytes] = {}
    count = extended_bytes = 0
    while (header := _exactly(stream, BLOCK)) != _ZEROS:
        count += 1
        if count > 2 * limits.entries:
            raise _refused("entries", "the layer has too many entries", f"at most {limits.entries}")
        _check_sum(header)
        kind, size = header[156:157], _number(header[124:136])
        if kind in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_TARGET):
            extended_bytes += size
            if size < 0 or extended_bytes > limits.header_bytes:
                most = f"at most {limits.header_bytes} bytes for one entry"
                raise _refused("header-size", "an extended header is too long", most, str(extended_bytes))
            _extend(extended, kind, _exactly(stream, size + padding(size))[:size])
            continue
        size = _pax.number(extended, b"size", size)
        entry = _entry(header, kind, size, extended)
        extended, extended_bytes = {}, 0
        _admit(names, entry)
        content = Content(stream, entry.size)
        yield entry, content
        content.finish()
    if extended:
        raise _refused("header", "an extended header belongs to no entry")
    _nothing_but_zeros(stream)


def _archive(source: Readable, limits: Limits) -> Readable:
    head = _exactly(source, 4)
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
        extended[b"path" if kind == _LONG_NAME else b"linkpath"] = data.partition(b"\0")[0]


def _entry(header: bytes, kind: bytes, size: int, extended: dict[bytes, bytes]) -> Entry:
    name = extended.get(b"path") or _ustar_name(header)
    shown = repr(name[:200].decode("utf-8", "replace"))
    if kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in extended):
        raise _refused("sparse", f"{shown} is stored as a sparse file", "files with all of their bytes")
    if kind in _DEVICES:
        raise _refused("device", f"{shown} is {_DEVICES[kind]}", "files, directories and links")
    if kind not in _KINDS:
        raise _refused("type", f"{shown} is of a type that layers do not have", found=repr(kind))
    meaning = _KINDS[kind]
    if meaning is Kind.FILE and name.endswith(b"/"):
        meaning = Kind.DIRECTORY  # how tar had them before there was a type for it
    if size and meaning is not Kind.FILE:
        raise _refused("header", f"{shown} is no file, but has content", found=f"{size} bytes")
    target = extended.get(b"linkpath") or header[157:257].partition(b"\0")[0]
    if meaning is Kind.HARDLINK:
        target = clean_path(target)
    return Entry(
        path=clean_path(name),
        kind=meaning,
        mode=_number(header[100:108]) & 0o7777,
        uid=_pax.number(extended, b"uid", _number(header[108:116])),
        gid=_pax.number(extended, b"gid", _number(header[116:124])),
        mtime_s=_pax.time(extended, _number(header[136:148])),
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


def _ustar_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _check_sum(header: bytes) -> None:
    unsigned = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if _number(header[148:156]) != unsigned:
        raise _refused("header", "a header's checksum does not fit", expected=str(unsigned))


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: base 256, two's complement
        value = int.from_bytes(field, "big", signed=False) & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise _refused("header", "a header's number is malformed", found=repr(field))
    return int(digits or b"0", 8)


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


def _nothing_but_zeros(stream: Readable) -> None:
    """The second zero block and the rest of the record; GNU tar fills it up."""
    while data := stream.read(1 << 16):
        if data.strip(b"\0"):
            raise _refused("trailing", "something follows the archive's end mark")


def _exactly(stream: Readable, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (more := stream.read(size - len(data))):
            raise _truncated()
        data += more
    return bytes(data)


def _truncated() -> DataError:
    return _refused("truncated", "the layer ends before its end mark")


def _refused(what: str, message: str, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"archive.layer.{what}", message, expected=expected, found=found)
