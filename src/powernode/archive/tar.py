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
from powernode.archive.ar import Readable
from powernode.base.errors import DataError

__all__ = ["Content", "Entry", "Kind", "entries"]

_CODE = "archive.tar"
_NAME_MAX, _PATH_MAX = 255, 4096


class Kind(enum.Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"


_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"1": Kind.HARDLINK, b"2": Kind.SYMLINK, b"5": Kind.DIRECTORY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`path` is relative and clean, "" for the top; `target` is a link's text, for a hard link a path like `path`."""

    path: str
    kind: Kind
    mode: int
    size_bytes: int
    target: str


def entries(stream: Readable, *, limit: int) -> Iterator[tuple[Entry, Content]]:
    """Every entry in its order; at most `limit` of them."""
    long_name = long_target = b""
    for _ in range(limit):
        header = exactly(stream, BLOCK, _CODE)
        if header == ZEROS:
            nothing_but_zeros(stream, _CODE)
            return
        check_sum(header, _CODE)
        size, kind = number(header[124:136], _CODE), header[156:157]
        if size < 0:
            raise DataError("archive.tar.header", "a size is negative", found=str(size))
        if kind in (b"L", b"K"):
            text = _long_text(stream, size)
            long_name, long_target = (text, long_target) if kind == b"L" else (long_name, text)
            continue
        entry = _entry(header, size, kind, long_name, long_target)
        long_name = long_target = b""
        content = Content(stream, size, _CODE)
        yield entry, content
        content.finish()
    raise DataError("archive.tar.entries", "the archive has too many entries", expected=f"fewer than {limit}")


def _long_text(stream: Readable, size: int) -> bytes:
    if not 0 < size <= _PATH_MAX + 1:
        raise DataError(
            "archive.tar.path", "a name is too long", expected=f"at most {_PATH_MAX} bytes", found=str(size)
        )
    return exactly(stream, size + padding(size), _CODE)[:size].rstrip(b"\0")


def _entry(header: bytes, size: int, kind: bytes, long_name: bytes, long_target: bytes) -> Entry:
    shown = _text(long_name or ustar_name(header))
    if kind not in _KINDS:
        what = DEVICES.get(kind)
        code = "archive.tar.device" if what else "archive.tar.type"
        raise DataError(
            code, f"{shown} is {what or 'of a type that packages do not have'}", expected="files, directories and links"
        )
    meaning = _KINDS[kind]
    if size and meaning is not Kind.FILE:
        raise DataError("archive.tar.header", f"{shown} is a {meaning.value} with content", found=f"{size} bytes")
    target = _text(long_target or until_zero(header[157:257])) if "link" in meaning.value else ""
    if meaning is Kind.HARDLINK:
        target = _clean(target)
    if ("link" in meaning.value and not target) or "\0" in target:
        raise DataError("archive.tar.header", f"{shown} is a link to nothing")
    mode = number(header[100:108], _CODE) & 0o7777
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


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
