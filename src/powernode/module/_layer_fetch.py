# SPDX-License-Identifier: MIT
"""Contents of a layer into an object store: the few that are missing, by ranges, or all of them from a stream.

Invariants: contents come from strangers: no more is decompressed than the table of contents says, files above 16 MiB
never are in memory as a whole, and every object is compared with its fs-verity digest before the batch may name it.

    fetch_missing(missing(toc, store), read_range, batch)
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from powernode import verity
from powernode.archive._zstd import Decompressed
from powernode.archive.ar import Readable
from powernode.archive.chunked import stream
from powernode.archive.chunked.entry import INLINE_MAX_BYTES, Entry, Kind, Limits, TocEntry
from powernode.archive.chunked.toc import Toc
from powernode.base.errors import DataError
from powernode.composefs.store import ObjectStore
from powernode.composefs.tree import Directory
from powernode.module._layer_tree import tree_of

__all__ = ["Range", "ReadRange", "Sink", "exactly", "fetch_missing", "missing", "read_layer", "readable"]

_GAP_BYTES = 8 << 10  # reading so much for nothing costs less than another request
_RANGE_BYTES = 32 << 20
_IN_MEMORY_BYTES = 16 << 20
_PIECE = 1 << 18

ReadRange = Callable[[int, int], "bytes | Readable"]
"""Called with start and length; gives the bytes of the blob, or a stream of them."""


class Sink(Protocol):
    """Takes contents and names them by their digests: a store's batch, or who only wants to know."""

    def add_bytes(self, data: bytes, digest: bytes | None = None, *, recompute: bool = True) -> bytes: ...
    def add_fd(self, fd: int, digest: bytes | None = None, *, recompute: bool = True) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bytes of the blob to ask for at once, and the files whose content is in them, in the order of the blob."""

    start: int
    length: int
    files: tuple[TocEntry, ...]


def missing(toc: Toc, store: ObjectStore) -> list[Range]:
    """What has to be read of the blob so that `store` holds every object: each object once, near ones together."""
    wanted: dict[bytes, TocEntry] = {}
    for entry in toc.entries:
        if entry.verity is not None:
            wanted.setdefault(entry.verity, entry)
    absent = sorted((wanted[digest] for digest in store.missing(wanted)), key=lambda entry: entry.offset)
    ranges: list[list[TocEntry]] = []
    for entry in absent:
        if ranges and _is_near(ranges[-1], entry):
            ranges[-1].append(entry)
        else:
            ranges.append([entry])
    return [
        Range(start=files[0].offset, length=files[-1].end_offset - files[0].offset, files=tuple(files))
        for files in ranges
    ]


def _is_near(files: list[TocEntry], entry: TocEntry) -> bool:
    gap, length = entry.offset - files[-1].end_offset, entry.end_offset - files[0].offset
    return gap <= _GAP_BYTES and length <= _RANGE_BYTES


def fetch_missing(ranges: Sequence[Range], read_range: ReadRange, batch: Sink) -> int:
    """Reads the ranges and adds every object to the batch; returns how many bytes of the blob were read."""
    for part in ranges:
        source = readable(read_range(part.start, part.length))
        at = part.start
        for entry in part.files:
            _skip(source, entry.offset - at)
            frames = _Window(source, entry.end_offset - entry.offset)
            _add_object(Decompressed(frames), entry, batch)
            _skip(frames, frames.left)
            at = entry.end_offset
    return sum(part.length for part in ranges)


def read_layer(source: Readable, batch: Sink, *, limits: Limits | None = None) -> Directory:
    """The tree of a whole layer, made by us or by others; the contents go into the batch."""
    files: dict[bytes, Entry] = {}
    entries: dict[bytes, Entry] = {}
    for entry, content in stream.entries(source, limits=limits or Limits()):
        if entry.kind is Kind.FILE:
            entry = _stored(entry, content, batch)
            files[entry.path] = entry
        elif entry.kind is Kind.HARDLINK:  # a file of its own, with one object between them
            entry = files[entry.path] = replace(files[entry.target], path=entry.path)
        entries[entry.path] = entry
    return tree_of(_with_parents(entries))


def _with_parents(entries: dict[bytes, Entry]) -> list[Entry]:
    """Sorted so that parents come first, with the directories that nobody named."""
    for path in list(entries):
        while path and (path := path.rpartition(b"/")[0]) not in entries:
            entries[path] = Entry(path=path, kind=Kind.DIRECTORY, mode=0o755)
    return [entries[path] for path in sorted(entries, key=lambda path: path.split(b"/") if path else [])]


def _stored(entry: Entry, content: Readable, batch: Sink) -> Entry:
    if entry.size <= INLINE_MAX_BYTES:
        return replace(entry, content=exactly(content, entry.size) or None)
    if entry.size <= _IN_MEMORY_BYTES:
        data = exactly(content, entry.size)
        digest = verity.digest_buffer(data).value
        batch.add_bytes(data, digest, recompute=False)
    else:
        with _spooled(content, entry.size) as (file, digest):
            batch.add_fd(file.fileno(), digest, recompute=False)
    return replace(entry, verity=digest)


def _add_object(content: Readable, entry: TocEntry, batch: Sink) -> None:
    if entry.size <= _IN_MEMORY_BYTES:
        data = exactly(content, entry.size)
        digest = verity.digest_buffer(data).value
        _check_object(content, digest, entry)
        batch.add_bytes(data, digest, recompute=False)
    else:
        with _spooled(content, entry.size) as (file, digest):
            _check_object(content, digest, entry)
            batch.add_fd(file.fileno(), digest, recompute=False)


def _check_object(rest: Readable, digest: bytes, entry: TocEntry) -> None:
    if rest.read(1):
        raise DataError(
            "module.layer.object-size",
            f"the content of {entry.path!r} is longer than the table of contents says",
            expected=f"{entry.size} bytes",
        )
    assert entry.verity is not None
    if digest != entry.verity:
        raise DataError(
            "module.layer.object-digest",
            f"the content of {entry.path!r} is not what the table of contents says",
            expected=entry.verity.hex(),
            found=digest.hex(),
            hint="fetch it again; nothing was stored",
        )


@contextmanager
def _spooled(content: Readable, size: int) -> Iterator[tuple[BinaryIO, bytes]]:
    """A file without a name that holds the content, and its digest."""
    hasher = verity.Hasher()
    with tempfile.TemporaryFile(buffering=0) as file:
        left = size
        while left:
            data = content.read(min(left, _PIECE))
            if not data:
                raise _short(size - left, size)
            hasher.update(data)
            left -= len(data)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        yield file, hasher.digest().value


class _Window:
    """The next `size` bytes of a stream."""

    def __init__(self, source: Readable, size: int) -> None:
        self._source = source
        self.left = size

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self.left)) if self.left else b""
        if self.left and size and not data:
            raise DataError("module.layer.range", "the range ends early", expected=f"{self.left} bytes more")
        self.left -= len(data)
        return data


def readable(data: bytes | Readable) -> Readable:
    return io.BytesIO(data) if isinstance(data, bytes) else data


def exactly(source: Readable, size: int) -> bytes:
    data = source.read(min(size, _PIECE)) if size else b""
    if len(data) == size:
        return data
    whole = bytearray(data)
    while data and len(whole) < size:
        data = source.read(min(size - len(whole), _PIECE))
        whole += data
    if len(whole) != size:
        raise _short(len(whole), size)
    return bytes(whole)


def _skip(source: Readable, size: int) -> None:
    while size:
        data = source.read(min(size, _PIECE))
        if not data:
            raise DataError("module.layer.range", "the range ends early", expected=f"{size} bytes more")
        size -= len(data)


def _short(found: int, expected: int) -> DataError:
    return DataError(
        "module.layer.object-size", "a content is too short", expected=f"{expected} bytes", found=f"{found}"
    )
