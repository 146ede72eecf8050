# SPDX-License-Identifier: MIT
"""A layer, written: a tar archive in zstd frames, one for the content of each file, with its table of contents behind.

Invariants: equal entries, contents and level give equal bytes wherever the same version of libzstd is used; the C
library (`pn_layer_write`) gives the same ones, faster. Contents above 4 MiB take several frames, one after the other;
the headers between two contents share a frame of their own. Memory is bounded by 4 MiB of content and the two tables.

Out of scope: where entries come from (`module.layer`), uploading.

    written = write(entries, open_content, file.fileno(), level=3)
    written.digest, written.size, written.annotations
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, fields
from typing import BinaryIO

from powernode.archive._zstd import Compressor
from powernode.archive.chunked import _tar, toc
from powernode.archive.chunked._crc64 import Crc64
from powernode.archive.chunked._tarsplit import TarSplit
from powernode.archive.chunked.entry import Entry, Kind, Limits, Names, TocEntry, check_values, clean_path
from powernode.archive.chunked.position import Part, Position, skippable
from powernode.base.errors import DataError, MachineError

__all__ = ["FRAME_BYTES", "LEVEL", "LEVELS", "Progress", "Written", "write"]

LEVEL = 3
LEVELS = range(1, 20)
FRAME_BYTES = 4 << 20
"""The most content that one frame holds."""


Progress = Callable[[int, int], None]
"""Called with how many entries are done, and how many bytes of their contents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a descriptor and a configuration need to know. `digest` is of the blob, `diff_id` of the archive."""

    digest: str
    size: int
    diff_id: str
    uncompressed_size: int
    position: Position

    @property
    def annotations(self) -> dict[str, str]:
        return self.position.annotations()


def write(
    entries: Iterable[Entry],
    open_content: Callable[[Entry], BinaryIO],
    out: int,
    *,
    level: int = LEVEL,
    progress: Progress | None = None,
) -> Written:
    """Writes the layer of `entries` (the root first, parents before children) to the descriptor `out`."""
    writer = _Writer(out, level)
    names = Names(Limits(), implied_parents=False)
    size = 0
    for done, entry in enumerate(entries, 1):
        if clean_path(_tar.member_name(entry)) != entry.path or entry.kind is Kind.HARDLINK:
            raise DataError("archive.layer.name", f"{entry.path!r} cannot be in a layer")
        names.add(entry)
        check_values(entry)
        writer.add(entry, open_content)
        size += entry.size
        if progress is not None:
            progress(done, size)
    return writer.finish()


class _Writer:
    def __init__(self, out: int, level: int) -> None:
        self._out = out
        self._compressor = Compressor(level)
        self._blob, self._archive = hashlib.sha256(), hashlib.sha256()
        self._size = self._uncompressed = 0
        self._pending = b""  # padding and headers since the last content
        self._kept = b""  # of them, what tar-split has not got yet
        self._entries: list[TocEntry] = []
        self._split = TarSplit()

    def add(self, entry: Entry, open_content: Callable[[Entry], BinaryIO]) -> None:
        header = _tar.header(entry)
        self._pending += header
        self._split.raw(self._kept + header)
        self._kept = b""
        digest, checksum = hashlib.sha256(), Crc64()
        start = end = 0
        if entry.size:
            self._flush()
            start = self._size
            with closing(open_content(entry)) as content:
                for piece in _pieces(content, entry):
                    digest.update(piece)
                    checksum.update(piece)
                    self._frame(piece)
            end = self._size
            self._pending = self._kept = bytes(_tar.padding(entry.size))
        self._split.file(_tar.member_name(entry), entry.size, checksum.digest() if entry.size else None)
        known = {field.name: getattr(entry, field.name) for field in fields(Entry)}
        value = digest.digest() if entry.size else None
        self._entries.append(TocEntry(**known, digest=value, offset=start, end_offset=end))

    def finish(self) -> Written:
        self._pending += _tar.END
        self._flush()
        self._split.raw(self._kept + _tar.END)
        text = self._split.text()
        split, split_digest = self._compressed(text)
        table = toc.encode(self._entries, split_digest)
        compressed, digest = self._compressed(table)
        toc_at = self._size + 8
        self._emit(skippable(compressed))
        split_at = self._size + 8
        self._emit(skippable(split))
        position = Position(
            toc=Part(offset=toc_at, size=len(compressed), uncompressed=len(table), digest=digest),
            tar_split=Part(offset=split_at, size=len(split), uncompressed=len(text), digest=split_digest),
        )
        self._emit(position.footer())
        return Written(
            digest=f"sha256:{self._blob.hexdigest()}",
            size=self._size,
            diff_id=f"sha256:{self._archive.hexdigest()}",
            uncompressed_size=self._uncompressed,
            position=position,
        )

    def _compressed(self, data: bytes) -> tuple[bytes, str]:
        view = memoryview(data)
        frames = (self._compressor.frame(view[at : at + FRAME_BYTES]) for at in range(0, len(data), FRAME_BYTES))
        out = b"".join(frames)
        return out, f"sha256:{hashlib.sha256(out).hexdigest()}"

    def _flush(self) -> None:
        view = memoryview(self._pending)
        for at in range(0, len(view), FRAME_BYTES):
            self._frame(view[at : at + FRAME_BYTES])
        self._pending = b""

    def _frame(self, data: bytes | memoryview) -> None:
        self._archive.update(data)
        self._uncompressed += len(data)
        self._emit(self._compressor.frame(data))

    def _emit(self, data: bytes) -> None:
        self._blob.update(data)
        self._size += len(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._out, view) :]
        except OSError as error:
            # The code is that of the C library, which does the same for `module.layer`.
            raise MachineError("module.layer.write", "cannot write the layer", found=error.strerror) from error


def _pieces(content: BinaryIO, entry: Entry) -> Iterable[bytes]:
    left = entry.size
    while left:
        piece = content.read(min(left, FRAME_BYTES))
        if not piece:
            break
        left -= len(piece)
        while left and len(piece) < FRAME_BYTES and (more := content.read(min(left, FRAME_BYTES - len(piece)))):
            piece += more
            left -= len(more)
        yield piece
    if left or content.read(1):
        raise DataError(
            "archive.layer.content", f"{entry.path!r} is not as long as its tree says", expected=f"{entry.size} bytes"
        )
