# SPDX-License-Identifier: MIT
"""zstd by whoever has it here: decompression by the C library's door to libzstd, else by the `zstandard` package.

Invariants: decompressing never holds more than was asked for, and a window of at most 128 MiB; several frames are one
stream, skippable ones are passed over. Compressing makes one frame that names its size and has no checksum: the layer
has digests of its own. The bytes of a frame depend on the content, the level and the version of libzstd alone.

    Decompressed(file).read(65536)
    decompress(data, size=100)                   # exactly that size, or a refusal
    Compressor(3).frame(b"…")
"""

from __future__ import annotations

import errno
import io
import struct

from powernode import native
from powernode.base.errors import DataError, MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from powernode.archive.ar import Readable
    from powernode.native import Library

__all__ = ["Compressor", "Decompressed", "decompress"]

_CHUNK = 1 << 16
_WINDOW_LOG_MAX = 27


class Compressor:
    """By `zstandard`: who has the C library packs there."""

    def __init__(self, level: int) -> None:
        self._engine = _package().ZstdCompressor(level=level, write_content_size=True, write_checksum=False)

    def frame(self, data: bytes | memoryview) -> bytes:
        return bytes(self._engine.compress(data))


def decompress(data: bytes | memoryview, *, size: int) -> bytes:
    """All of it, when it is exactly `size` bytes long."""
    reader = Decompressed(io.BytesIO(data))
    out = bytearray()
    while len(out) <= size and (piece := reader.read(size + 1 - len(out))):
        out += piece
    if len(out) != size:
        found = "more" if len(out) > size else f"{len(out)} bytes"
        raise DataError("archive.zstd.size", "the data is not of its size", expected=f"{size} bytes", found=found)
    return bytes(out)


class Decompressed:
    """What the frames of `source` become, as a stream; it ends where `source` ends."""

    def __init__(self, source: Readable) -> None:
        library = native.library()
        self._reader = _Package(source) if library is None else _Native(library, source)

    def read(self, size: int, /) -> bytes:
        return self._reader.read(size)

    def restart(self, source: Readable) -> None:
        """Go on with the frames of another source, after the end of the one before."""
        self._reader.restart(source)


class _Native:
    def __init__(self, library: Library, source: Readable) -> None:
        self._library = library
        self._source = source
        self._input = b""
        self._used = 0
        self._inside = False  # a frame
        self._full = False  # so that more may come without more input
        self._handle = 0
        handle = bytearray(8)
        result = library.call("pn_zstd_decoder_new", _WINDOW_LOG_MAX, handle)
        if result == -errno.ENOSYS:
            raise MachineError("archive.zstd.missing", "there is no libzstd.so.1 here", hint="install libzstd1")
        if result < 0:
            raise _no_memory()
        self._handle = struct.unpack("Q", handle)[0]

    def __del__(self) -> None:
        if self._handle:
            self._library.call("pn_zstd_decoder_free", self._handle)

    def restart(self, source: Readable) -> None:
        self._source, self._input, self._used = source, b"", 0

    def read(self, size: int, /) -> bytes:
        out = bytearray(min(size, 4 * _CHUNK))
        counts = bytearray(16)
        while out:
            if self._used == len(self._input) and not self._full:
                self._input, self._used = self._source.read(_CHUNK), 0
                if not self._input:
                    break
            rest = memoryview(self._input)[self._used :]
            result = self._library.call(
                "pn_zstd_decoder_run", self._handle, rest or b"\0", len(rest), out, len(out), counts
            )
            if result == -errno.ENOMEM:
                raise _no_memory()
            if result < 0:
                raise _corrupt("it is no zstd, was damaged, or asks for a window above 128 MiB")
            taken, made = struct.unpack("QQ", counts)
            self._inside = result == 1
            self._full = self._inside and made == len(out)
            self._used += taken
            if made:
                return bytes(memoryview(out)[:made])
        if out and self._inside:
            raise DataError("archive.zstd.truncated", "the compressed data stops before its end")
        return b""


class _Package:
    def __init__(self, source: Readable) -> None:
        package = _package()
        self._error: type[Exception] = package.ZstdError
        self._engine = package.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG_MAX)
        self.restart(source)

    def restart(self, source: Readable) -> None:
        self._reader = self._engine.stream_reader(_Source(source), read_size=_CHUNK, read_across_frames=True)

    def read(self, size: int, /) -> bytes:
        try:
            return bytes(self._reader.read(size))
        except self._error as error:
            raise _corrupt(str(error)) from error


class _Source:
    """zstandard asks for a closing of what is not its own."""

    def __init__(self, source: Readable) -> None:
        self.read = source.read


def _corrupt(cause: str) -> DataError:
    return DataError("archive.zstd.corrupt", "the data cannot be decompressed", found=cause, hint="fetch it again")


def _no_memory() -> MachineError:
    return MachineError(
        "archive.zstd.memory",
        "there is not enough memory to decompress the data",
        hint="free some: the data says how large a window it needs, of at most 128 MiB",
    )


def _package() -> ModuleType:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise MachineError(
            "archive.zstd.missing",
            "nothing here can handle zstd",
            expected="the C library, or the Python package zstandard",
            hint="pip install 'powernode[platform]'",
        ) from error
    return zstandard
