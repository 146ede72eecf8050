# SPDX-License-Identifier: MIT
"""What all readers of tar archives do alike, whatever they admit: blocks, numbers, contents, the end.

Invariants: nothing is believed before a header's checksum fits; nothing is read behind a content. `code` begins every
refusal: CODE.header, CODE.truncated, CODE.trailing.

    while (header := exactly(stream, BLOCK, code)) != ZEROS:
        check_sum(header, code)
        content = Content(stream, number(header[124:136], code), code)
        content.finish()
    nothing_but_zeros(stream, code)
"""

from __future__ import annotations

from powernode.archive.ar import Readable
from powernode.base.errors import DataError

__all__ = ["BLOCK", "DEVICES", "ZEROS", "Content", "check_sum", "exactly", "nothing_but_zeros", "number", "padding"]
__all__ += ["until_zero", "ustar_name"]

BLOCK = 512
ZEROS = bytes(BLOCK)
DEVICES = {b"3": "a character device", b"4": "a block device", b"6": "a named pipe"}


class Content:
    """The bytes of one file; usable until the next entry is asked for."""

    def __init__(self, stream: Readable, size: int, code: str) -> None:
        self._stream = stream
        self._left = size
        self._padding = padding(size)
        self._code = code

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        if not data and size and self._left:
            raise _truncated(self._code)
        self._left -= len(data)
        return data

    def read_all(self) -> bytes:
        return exactly(self, self._left, self._code)

    def finish(self) -> None:
        while self.read(1 << 16):
            pass
        exactly(self._stream, self._padding, self._code)


def padding(size: int) -> int:
    return -size % BLOCK


def check_sum(header: bytes, code: str) -> None:
    unsigned = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if number(header[148:156], code) != unsigned:
        raise DataError(f"{code}.header", "a header's checksum does not fit", expected=str(unsigned))


def number(field: bytes, code: str) -> int:
    """In octal, and 0 where there is nothing; or as GNU writes what does not fit: base 256, in two's complement."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = until_zero(field).strip(b" ")
    if digits.strip(b"01234567"):
        raise DataError(f"{code}.header", "a header's number is malformed", found=repr(field))
    return int(digits or b"0", 8)


def ustar_name(header: bytes) -> bytes:
    name = until_zero(header[:100])
    prefix = until_zero(header[345:500]) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def until_zero(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def nothing_but_zeros(stream: Readable, code: str) -> None:
    """The second zero block and the rest of the record; GNU tar fills it up."""
    while data := stream.read(1 << 16):
        if data.strip(b"\0"):
            raise DataError(f"{code}.trailing", "something follows the archive's end mark")


def exactly(stream: Readable, size: int, code: str) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (more := stream.read(size - len(data))):
            raise _truncated(code)
        data += more
    return bytes(data)


def _truncated(code: str) -> DataError:
    return DataError(f"{code}.truncated", "the archive ends before its end mark")
