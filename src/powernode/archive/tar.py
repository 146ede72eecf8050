# SPDX-License-Identifier: MIT
"""The entries of a tar archive as Debian packages carry them: v7, ustar, and GNU's long names (deb(5)).

Invariants: nothing is believed before the header's checksum fits; names are relative, clean and at most 4096 bytes;
only files, directories, symbolic and hard links exist: devices, sparse files and pax headers are refused, which
Python's tarfile would follow into unbounded reads. The archive must have its end mark and nothing but zeros behind it.

Out of scope: ownership, times, writing; what is safe to write where (archive.deb).

    for entry, content in entries(stream, limit=100_000):
        print(entry.path, entry.kind, len(content.read(4096)))
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from powernode.archive.ar import Readable
from powernode.base.errors import DataError

__all__ = ["Content", "Entry", "Kind", "entries"]

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_NAME_MAX, _PATH_MAX = 255, 4096


class Kind(enum.Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"


_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"1": Kind.HARDLINK, b"2": Kind.SYMLINK, b"5": Kind.DIRECTORY}
_DEVICES = {b"3": "a character device", b"4": "a block device", b"6": "a named pipe"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`path` is relative and clean, "" for the top; `target` is a link's text, for a hard link a path like `path`."""

    path: str
    kind: Kind
    mode: int
    size_bytes: int
    target: str


class Content:
    """The bytes of one file; usable until the next entry is asked for."""

    def __init__(self, stream: Readable, size_bytes: int) -> None:
        self._stream = stream
        self._left = size_bytes
        self._padding = -size_bytes % _BLOCK

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        if not data and size and self._left:
            raise _truncated()
        self._left -= len(data)
        return data

    def read_all(self) -> bytes:
        return _exactly(self, self._left)

    def finish(self) -> None:
        while self.read(1 << 16):
            pass
        _exactly(self._stream, self._padding)


def entries(stream: Readable, *, limit: int) -> Iterator[tuple[Entry, Content]]:
    """Every entry in its order; at most `limit` of them."""
    long_name = long_target = b""
    for _ in range(limit):
        header = _exactly(stream, _BLOCK)
        if header == _ZEROS:
            _nothing_but_zeros(stream)
            return
        size, kind = _checked(header)
        if kind in (b"L", b"K"):
            text = _long_text(stream, size)
            long_name, long_target = (text, long_target) if kind == b"L" else (long_name, text)
            continue
        entry = _entry(header, size, kind, long_name, long_target)
        long_name = long_target = b""
        content = Content(stream, size)
        yield entry, content
        content.finish()
    raise DataError("archive.tar.entries", "the archive has too many entries", expected=f"fewer than {limit}")


def _checked(header: bytes) -> tuple[int, bytes]:
    """Size and type, once the header is known to be one."""
    unsigned = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if _number(header[148:156]) != unsigned:
        raise DataError("archive.tar.header", "a header's checksum does not fit", expected=str(unsigned))
    return _number(header[124:136]), header[156:157]


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: base 256, for sizes from 8 GiB up
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise DataError("archive.tar.header", "a header's number is malformed", found=repr(field))
    return int(digits, 8)


def _long_text(stream: Readable, size: int) -> bytes:
    if not 0 < size <= _PATH_MAX + 1:
        raise DataError(
            "archive.tar.path", "a name is too long", expected=f"at most {_PATH_MAX} bytes", found=str(size)
        )
    return _exactly(stream, size + -size % _BLOCK)[:size].rstrip(b"\0")


def _entry(header: bytes, size: int, kind: bytes, long_name: bytes, long_target: bytes) -> Entry:
    name = long_name or _until_zero(header[:100])
    if not long_name and header[257:263] == b"ustar\0" and (prefix := _until_zero(header[345:500])):
        name = prefix + b"/" + name
    shown = _text(name)
    if kind not in _KINDS:
        what = _DEVICES.get(kind)
        code = "archive.tar.device" if what else "archive.tar.type"
        raise DataError(
            code, f"{shown} is {what or 'of a type that packages do not have'}", expected="files, directories and links"
        )
    meaning = _KINDS[kind]
    if size and meaning is not Kind.FILE:
        raise DataError("archive.tar.header", f"{shown} is a {meaning.value} with content", found=f"{size} bytes")
    target = _text(long_target or _until_zero(header[157:257])) if "link" in meaning.value else ""
    if meaning is Kind.HARDLINK:
        target = _clean(target)
    if ("link" in meaning.value and not target) or "\0" in target:
        raise DataError("archive.tar.header", f"{shown} is a link to nothing")
    mode = _number(header[100:108]) & 0o7777
    return Entry(path=_clean(shown), kind=meaning, mode=mode, size_bytes=size, target=target)


def _clean(path: str) -> str:
    """Without `./` and a final slash; a path that leads elsewhere is refused, not repaired."""
    inner = path.removesuffix("/")
    inner = "" if inner == "." else inner.removeprefix("./")
    parts = inner.split("/") if inner else []
    if not path or path.startswith("/") or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise DataError(
            "archive.tar.path", f"the name {path!r} leads elsewhere", expected="a relative path without `..`"
        )
    if any(len(part.encode("utf-8", "surrogateescape")) > _NAME_MAX for part in parts) or len(path) > _PATH_MAX:
        raise DataError("archive.tar.path", "a name is too long", expected=f"at most {_NAME_MAX} bytes between slashes")
    return inner


def _until_zero(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _nothing_but_zeros(stream: Readable) -> None:
    """The second zero block and the rest of the record; GNU tar fills it up."""
    while data := stream.read(1 << 16):
        if data.strip(b"\0"):
            raise DataError("archive.tar.trailing", "something follows the archive's end mark")


def _exactly(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := stream.read(size - len(data))):
            raise _truncated()
        data += more
    return data


def _truncated() -> DataError:
    return DataError("archive.tar.truncated", "the archive ends before its end mark")
