# SPDX-License-Identifier: MIT
"""The members of an `ar` archive, one after the other, from a stream that need not be seekable.

Invariants: a member never yields more or less than the size in its header, or the archive is refused; what the caller
leaves unread is skipped. Only the common format with short names, which is what a Debian package is (deb(5)).

Out of scope: writing; symbol tables; the long names of GNU and BSD.

    for name, content in members(open("x.deb", "rb")):
        content.read(4096)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from powernode.base.errors import DataError

__all__ = ["Member", "Readable", "members"]

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_NAME = re.compile(rb"([A-Za-z0-9_.+-]{1,16})/? *\Z")
_SIZE = re.compile(rb"([0-9]{1,10}) *\Z")
_CHUNK = 1 << 16


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Member:
    """The bytes of one member; usable until the next one is asked for."""

    def __init__(self, stream: Readable, name: str, size_bytes: int) -> None:
        self._stream = stream
        self._name = name
        self._left = size_bytes

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        if not data and size and self._left:
            raise DataError(
                "archive.ar.truncated", f"the archive ends inside {self._name}", expected=f"{self._left} bytes more"
            )
        self._left -= len(data)
        return data

    def skip(self) -> None:
        while self.read(_CHUNK):
            pass


def members(stream: BinaryIO | Readable, *, limit: int = 64) -> Iterator[tuple[str, Member]]:
    """Name and content of every member."""
    if _exactly(stream, len(_MAGIC)) != _MAGIC:
        raise DataError("archive.ar.magic", "this is no ar archive", expected="!<arch> at the start")
    for _ in range(limit):
        header = _exactly(stream, _HEADER_BYTES)
        if not header:
            return
        name, size = _parse(header)
        member = Member(stream, name, size)
        yield name, member
        member.skip()
        if size % 2:
            _exactly(stream, 1)  # padding to an even offset; the last one may be missing
    raise DataError("archive.ar.members", "the archive has too many members", expected=f"fewer than {limit}")


def _parse(header: bytes) -> tuple[str, int]:
    name, size = _NAME.match(header[:16]), _SIZE.match(header[48:58])
    if len(header) < _HEADER_BYTES:
        raise DataError("archive.ar.truncated", "the archive ends inside a header")
    if name is None or size is None or header[58:] != b"`\n":
        raise DataError("archive.ar.header", "a member's header is malformed", found=repr(header))
    return name[1].decode(), int(size[1])


def _exactly(stream: Readable, size: int) -> bytes:
    """`size` bytes, or fewer only at the end of the stream."""
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data
