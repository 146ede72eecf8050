# SPDX-License-Identifier: MIT
"""The `newc` cpio format of a Linux initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).

Invariants: equal entries give equal bytes whatever their order: they are sorted, parents come first and are made where
nobody named them, everything belongs to root, has one time and is numbered from 1. What a field of eight hexadecimal
digits cannot hold is refused, never cut. Reading is bounded and returns what was written.

Out of scope: hard links (an initramfs gains nothing from them), the checksummed `070702` variant, compression.

    write(file, [Entry(path="init", mode=S_IFREG | 0o755, data=script), symlink("bin", "usr/bin")], mtime=0)
    for entry in read(archive): ...
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from powernode.base.errors import DataError, OperatorError

__all__ = ["Entry", "device", "directory", "file", "read", "symlink", "write"]

_MAGIC = b"070701"
_FIELDS = tuple(
    "ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check".split()  # noqa: SIM905
)
_HEADER_SIZE = len(_MAGIC) + 8 * len(_FIELDS)
_TRAILER = "TRAILER!!!"
_PATH_MAX = 4096  # the kernel skips entries with longer names without a word
_MAX_ENTRIES = 1 << 20
_BLOCK = 512
_WITH_DATA = (stat.S_IFREG, stat.S_IFLNK)
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_KINDS = (*_WITH_DATA, *_DEVICES, stat.S_IFDIR, stat.S_IFIFO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`path` is relative and clean; `mode` has the file type; `data` is a file's content or a link's target."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file(path: str, data: bytes, permissions: int = 0o644) -> Entry:
    return Entry(path=path, mode=stat.S_IFREG | permissions, data=data)


def directory(path: str, permissions: int = 0o755) -> Entry:
    return Entry(path=path, mode=stat.S_IFDIR | permissions)


def symlink(path: str, target: str) -> Entry:
    return Entry(path=path, mode=stat.S_IFLNK | 0o777, data=target.encode())


def device(path: str, mode: int, major: int, minor: int) -> Entry:
    """`mode` says whether it is S_IFCHR or S_IFBLK."""
    return Entry(path=path, mode=mode, device=(major, minor))


def write(out: BinaryIO, entries: Iterable[Entry], *, mtime: int) -> None:
    """The whole archive with its trailer, filled up to 512 bytes as cpio(1) does."""
    written = 0
    number = 0
    for number, entry in enumerate(_complete(entries), 1):
        written += _write_one(out, entry, number, mtime)
    written += _write_one(out, Entry(path=_TRAILER, mode=0), 0, 0)
    out.write(bytes(-written % _BLOCK))


def _complete(entries: Iterable[Entry]) -> list[Entry]:
    """In the order to write them: by path, missing parents added."""
    named: dict[str, Entry] = {}
    for entry in entries:
        _check(entry)
        if named.setdefault(entry.path, entry) != entry:
            raise OperatorError("archive.cpio.twice", f"two different files want to be {entry.path}")
    for path in list(named):
        while "/" in path:
            path = path.rpartition("/")[0]
            parent = named.setdefault(path, directory(path))
            if stat.S_IFMT(parent.mode) != stat.S_IFDIR:
                raise OperatorError("archive.cpio.parent", f"{path} holds files but is no directory")
    # By components, so that a directory is directly followed by what is in it: `a`, `a/b`, `a-b`.
    return [named[path] for path in sorted(named, key=lambda path: path.split("/"))]


def _check(entry: Entry) -> None:
    parts = entry.path.split("/")
    if entry.path == _TRAILER or "\0" in entry.path or any(part in ("", ".", "..") for part in parts):
        raise OperatorError(
            "archive.cpio.path", f"{entry.path!r} cannot be a name in an archive", expected="a relative, clean path"
        )
    if len(entry.path.encode()) >= _PATH_MAX:
        raise OperatorError("archive.cpio.path", f"the name {entry.path[:60]!r}… is longer than {_PATH_MAX - 1} bytes")
    kind = stat.S_IFMT(entry.mode)
    if kind not in _KINDS or (entry.data and kind not in _WITH_DATA) or (any(entry.device) and kind not in _DEVICES):
        raise OperatorError("archive.cpio.kind", f"{entry.path} is of no kind to archive", found=oct(entry.mode))


def _write_one(out: BinaryIO, entry: Entry, number: int, mtime: int) -> int:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, mtime, len(entry.data), 0, 0, *entry.device, len(name), 0)
    for label, value in zip(_FIELDS, fields, strict=True):
        if not 0 <= value <= 0xFFFFFFFF:
            raise OperatorError(
                "archive.cpio.field",
                f"{entry.path} has a {label} that the format cannot hold",
                expected="0 to 4294967295",
                found=str(value),
            )
    head = _MAGIC + b"".join(b"%08X" % value for value in fields) + name
    padded = head + bytes(-len(head) % 4)
    out.write(padded)
    out.write(entry.data)
    tail = -len(entry.data) % 4
    out.write(bytes(tail))
    return len(padded) + len(entry.data) + tail


def read(archive: bytes | memoryview) -> Iterator[Entry]:
    """The entries of an archive, without its trailer; what is damaged is refused with the byte offset."""
    view = memoryview(archive)
    position = 0
    for _ in range(_MAX_ENTRIES):
        start = position
        fields = _fields(view, start)
        name_start = start + _HEADER_SIZE
        name = bytes(_slice(view, name_start, fields["namesize"], start))
        if fields["namesize"] < 2 or name[-1:] != b"\0" or b"\0" in name[:-1]:
            raise _damaged(start, "its name is not one string")
        data_start = name_start + len(name) + -(_HEADER_SIZE + len(name)) % 4
        data = bytes(_slice(view, data_start, fields["filesize"], start))
        position = data_start + len(data) + -len(data) % 4
        path = name[:-1].decode("utf-8", "surrogateescape")
        if path == _TRAILER:
            return
        yield Entry(path=path, mode=fields["mode"], data=data, device=(fields["rdevmajor"], fields["rdevminor"]))
    raise _damaged(position, f"there are more than {_MAX_ENTRIES} entries")


def _fields(view: memoryview, start: int) -> dict[str, int]:
    header = bytes(_slice(view, start, _HEADER_SIZE, start))
    digits = header[len(_MAGIC) :]
    if header[: len(_MAGIC)] != _MAGIC or not digits.isalnum():
        raise _damaged(start, "it is no newc header")
    try:
        return {name: int(digits[8 * index : 8 * index + 8], 16) for index, name in enumerate(_FIELDS)}
    except ValueError:
        raise _damaged(start, "its fields are no hexadecimal numbers") from None


def _slice(view: memoryview, start: int, size: int, entry_start: int) -> memoryview:
    if start + size > len(view):
        raise _damaged(entry_start, "the archive ends inside it")
    return view[start : start + size]


def _damaged(offset: int, why: str) -> DataError:
    return DataError("archive.cpio.damaged", f"the cpio entry at byte {offset} cannot be read: {why}")
