# SPDX-License-Identifier: MIT
"""Contents of a layer into an object store: the few that are missing, by ranges, or all of them from a stream.

Invariants: contents come from strangers: no more is decompressed than the table of contents says, of a long range a
piece is in memory at a time, files above 16 MiB are written as they come, and every object is compared with its
fs-verity digest before the batch may name it.

    fetch_missing(missing(toc, store), read_range, batch)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from powernode import verity
from powernode.archive._zstd import Decompressed
from powernode.archive.ar import Readable
from powernode.archive.chunked import stream
from powernode.archive.chunked.entry import INLINE_MAX_BYTES, Entry, Kind, Limits, TocEntry
from powernode.archive.chunked.toc import Toc
from powernode.base.errors import DataError
from powernode.composefs.store import Batch, ObjectStore
from powernode.composefs.tree import Directory
from powernode.module._layer_tree import tree_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash as Hash

__all__ = ["Range", "ReadRange", "Stream", "exactly", "fetch_missing", "missing", "read_layer"]

_GAP_BYTES = 8 << 10  # reading so much for nothing costs less than another request
_RANGE_BYTES = 32 << 20
_REQUEST_BYTES = 4 << 20  # several threads hold so much each
_IN_MEMORY_BYTES = 16 << 20
_PIECE = 1 << 18

ReadRange = Callable[[int, int], bytes]
"""Called with start and length, of at most 4 MiB; gives these bytes of the blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bytes of the blob that belong together, and the files whose content is in them, in the order of the blob."""

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


def fetch_missing(ranges: Sequence[Range], read_range: ReadRange, batch: Batch) -> int:
    """Reads the ranges and adds every object to the batch; returns how many bytes of the blob were read."""
    content = Decompressed(io.BytesIO())  # one for all: making it costs as much as a small file
    for part in ranges:
        source = Stream(read_range, part.start, part.length)
        at = part.start
        for entry in part.files:
            _skip(source, entry.offset - at)
            frames = _Window(source, entry.end_offset - entry.offset)
            content.restart(frames)
            _add_object(content, entry, batch)
            _skip(frames, frames.left)
            at = entry.end_offset
    return sum(part.length for part in ranges)


def read_layer(
    source: Readable, batch: Batch | None, *, limits: Limits | None = None, diff_id: Hash | None = None
) -> Directory:
    """The tree of a whole layer, made by us or by others; the contents go into the batch, or nowhere.

    `diff_id` is given the uncompressed archive, of which the layer's diff_id is the digest.
    """
    files: dict[bytes, Entry] = {}
    entries: dict[bytes, Entry] = {}
    for entry, content in stream.entries(source, limits=limits or Limits(), diff_id=diff_id):
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


def _stored(entry: Entry, content: Readable, batch: Batch | None) -> Entry:
    if entry.size <= INLINE_MAX_BYTES:
        return replace(entry, content=exactly(content, entry.size) or None)
    if batch is None:
        digest = _copied(content, entry.size, lambda data: None)
    elif entry.size <= _IN_MEMORY_BYTES:
        data = exactly(content, entry.size)
        digest = batch.add_bytes(data, verity.digest_buffer(data).value, recompute=False)
    else:
        digest = batch.add_written(lambda file: _written(content, entry.size, file))
    return replace(entry, verity=digest)


def _add_object(content: Readable, entry: TocEntry, batch: Batch) -> None:
    if entry.size <= _IN_MEMORY_BYTES:
        data = exactly(content, entry.size)
        digest = verity.digest_buffer(data).value
        _check_object(content, digest, entry)
        batch.add_bytes(data, digest, recompute=False)
        return

    def write(file: int) -> bytes:
        digest = _written(content, entry.size, file)
        _check_object(content, digest, entry)
        return digest

    batch.add_written(write, entry.verity)


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


def _written(content: Readable, size: int, file: int) -> bytes:
    with open(file, "wb", closefd=False) as out:
        return _copied(content, size, out.write)


def _copied(content: Readable, size: int, keep: Callable[[bytes], object]) -> bytes:
    """The digest of content that is passed on piece by piece."""
    hasher = verity.Hasher()
    left = size
    while left:
        data = content.read(min(left, _PIECE))
        if not data:
            raise _short(size - left, size)
        hasher.update(data)
        keep(data)
        left -= len(data)
    return hasher.digest().value


class Stream:
    """A range of the blob, asked for piece by piece: no more than a piece of it is ever in memory."""

    def __init__(self, read_range: ReadRange, start: int, length: int) -> None:
        self._read_range = read_range
        self._at = start
        self._left = length
        self._piece = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        if not self._piece and self._left:
            asked = min(_REQUEST_BYTES, self._left)
            self._piece = memoryview(self._read_range(self._at, asked))
            if len(self._piece) != asked:
                raise _range_ends(asked - len(self._piece))
            self._at += asked
            self._left -= asked
        data, self._piece = self._piece[:size], self._piece[size:]
        return bytes(data)


class _Window:
    """The next `size` bytes of a stream."""

    def __init__(self, source: Readable, size: int) -> None:
        self._source = source
        self.left = size

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self.left)) if self.left else b""
        if self.left and size and not data:
            raise _range_ends(self.left)
        self.left -= len(data)
        return data


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
            raise _range_ends(size)
        size -= len(data)


def _short(found: int, expected: int) -> DataError:
    return DataError(
        "module.layer.object-size", "a content is too short", expected=f"{expected} bytes", found=f"{found}"
    )


def _range_ends(missing: int) -> DataError:
    return DataError("module.layer.range", "the range ends early", expected=f"{missing} bytes more")
