# SPDX-License-Identifier: MIT
"""Decompressed bytes as a stream: never more at once than asked for, never more in all than allowed.

Invariants: the memory used does not depend on the data (xz and zstd windows are bounded). For xz and gz, one complete
stream with nothing behind it, or the data is refused; zst data may be several frames.

Out of scope: compressing.

    reader = open_stream(file, "xz", limit_bytes=1 << 30)
    reader.read(65536)
"""

from __future__ import annotations

import lzma
import zlib
from typing import Protocol

from powernode.archive._zstd import Decompressed
from powernode.archive.ar import Readable
from powernode.base.errors import DataError

__all__ = ["Bounded", "open_stream"]

_CHUNK = 1 << 16
_WINDOW_MAX_BYTES = 1 << 28


class _Incremental(Protocol):
    """What lzma offers; zlib is dressed up as it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Bounded:
    """At most `limit_bytes` in all from `source`; more is a refusal."""

    def __init__(self, source: Readable, limit_bytes: int) -> None:
        self._source = source
        self._limit = self._left = limit_bytes

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                "archive.data.too-large", "the data expands beyond the limit", expected=f"at most {self._limit} bytes"
            )
        return data


def open_stream(source: Readable, method: str, *, limit_bytes: int) -> Readable:
    """`method` is "xz", "gz", "zst" or "" for data that is not compressed."""
    if method == "":
        return Bounded(source, limit_bytes)
    if method == "xz":
        return Bounded(_Stream(source, lzma.LZMADecompressor(lzma.FORMAT_XZ, _WINDOW_MAX_BYTES)), limit_bytes)
    if method == "gz":
        return Bounded(_Stream(source, _Gzip()), limit_bytes)
    if method == "zst":
        return Bounded(Decompressed(source), limit_bytes)
    raise DataError(
        "archive.data.method", "this compression is not known", expected="xz, gz, zst or none", found=method
    )


class _Stream:
    def __init__(self, source: Readable, engine: _Incremental) -> None:
        self._source = source
        self._engine = engine

    def read(self, size: int, /) -> bytes:
        while size > 0:
            if self._engine.eof:
                if self._engine.unused_data or self._source.read(1):
                    raise DataError("archive.data.trailing", "something follows the compressed data")
                return b""
            data = b""
            if self._engine.needs_input and not (data := self._source.read(_CHUNK)):
                raise DataError("archive.data.truncated", "the compressed data stops before its end")
            try:
                out = self._engine.decompress(data, size)
            except (lzma.LZMAError, zlib.error, MemoryError) as error:
                raise DataError("archive.data.corrupt", f"the data cannot be decompressed: {error}") from error
            if out:
                return out
        return b""


class _Gzip:
    def __init__(self) -> None:
        self._engine = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def needs_input(self) -> bool:
        return not self._engine.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._engine.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._engine.decompress(self._engine.unconsumed_tail + data, max_length)
