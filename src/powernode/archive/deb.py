# SPDX-License-Identifier: MIT
"""A Debian package unpacked without dpkg and without trust in it (deb(5), format 2).

Invariants: nothing is written outside the folder, through a link, or over anything that exists; devices are refused;
entries and bytes are limited. Modes are kept but for the set-id bits, which mean nothing without the owner, and
directories stay writable for us; ownership and times are not kept.

A link's text is kept as it is, and may be absolute: whoever opens paths in the unpacked tree resolves links inside it.
Since trixie nearly everything ships below usr/ (merged-/usr); what a package still ships as lib/… stays at lib/….

Out of scope: maintainer scripts; signatures and digests (debian.inputs checks the whole file first).

    unpack(open("busybox-static.deb", "rb"), Path("tree"))       # the folder exists and is empty
    control(open("busybox-static.deb", "rb"))["Version"]
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from powernode.archive import ar, tar
from powernode.archive.decompress import open_stream
from powernode.base.errors import DataError

__all__ = ["Limits", "control", "unpack"]

_CHUNK = 1 << 18
_CONTROL_MAX_BYTES = 1 << 20
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest package we mean to take is a kernel with all its modules: half a gigabyte, 10,000 entries."""

    entries: int = 100_000
    total_bytes: int = 2 << 30


def unpack(package: BinaryIO, folder: Path, limits: Limits | None = None) -> None:
    """The package's files below `folder`, which must exist and be empty."""
    limits = limits or Limits()
    writer = _Writer(folder, limits.entries)
    with closing(_members(package, "data.tar", limits.total_bytes)) as stream:
        for entry, content in tar.entries(next(stream), limit=limits.entries):
            try:
                writer.write(entry, content)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                raise DataError("archive.deb.path", "a name or the text of a link is too long to be made") from error


def control(package: BinaryIO) -> dict[str, str]:
    """The fields of the control file; lines that continue a field are joined by newlines."""
    with closing(_members(package, "control.tar", 16 * _CONTROL_MAX_BYTES)) as stream:
        for entry, content in tar.entries(next(stream), limit=1000):
            if entry.path == "control" and entry.kind is tar.Kind.FILE:
                if entry.size_bytes > _CONTROL_MAX_BYTES:
                    raise DataError("archive.deb.control", "the control file is too large")
                return _fields(content.read_all())
    raise DataError("archive.deb.control", "the package has no control file")


def _members(package: BinaryIO, wanted: str, limit_bytes: int) -> Generator[ar.Readable, None, None]:
    """The tar stream of `control.tar` or `data.tar`; the order of members is part of the format."""
    order = iter(("debian-binary", "control.tar", "data.tar"))
    expected = next(order)
    for name, member in ar.members(package):
        if name.startswith("_") and expected == "data.tar":
            continue  # reserved for extensions that may be ignored
        base, _, method = name.partition(".tar.") if ".tar." in name else (name.removesuffix(".tar"), "", "")
        if expected not in (name, f"{base}.tar"):
            raise DataError(
                "archive.deb.layout", "the package's members are not in their order", expected=expected, found=name
            )
        if expected == "debian-binary":
            if not (version := member.read(16)).startswith(b"2."):
                raise DataError(
                    "archive.deb.version", "this package format is not known", expected="2.x", found=repr(version)
                )
        elif expected == wanted:
            yield open_stream(member, method, limit_bytes=limit_bytes)
            return
        expected = next(order)
    raise DataError("archive.deb.layout", f"the package has no {wanted}", expected=expected, found="the end")


def _fields(text: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.decode("utf-8", "replace").splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line[1:]
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif line:
            raise DataError("archive.deb.control", "a line of the control file is no field", found=line[:80])
    return fields


class _Writer:
    """Knows what it wrote: since the folder was empty, that is all there is, and no link can have been slipped in."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._limit = limit
        self._folder = os.fspath(folder)
        self._kinds: dict[str, tar.Kind] = {"": tar.Kind.DIRECTORY}

    def write(self, entry: tar.Entry, content: tar.Content) -> None:
        path = entry.path
        place = os.path.join(self._folder, path)
        self._parents(path)
        if entry.kind is tar.Kind.DIRECTORY:
            self._directory(path)
            os.chmod(place, entry.mode & 0o1777 | 0o700)
            return
        if path in self._kinds:
            raise DataError("archive.deb.duplicate", f"{path} comes twice")
        if entry.kind is tar.Kind.FILE:
            fd = os.open(place, _NEW_FILE, 0o600)
            with open(fd, "wb") as file:
                while data := content.read(_CHUNK):
                    file.write(data)
                os.fchmod(fd, entry.mode & 0o1777)
        elif entry.kind is tar.Kind.SYMLINK:
            os.symlink(entry.target, place)
        else:
            if self._kinds.get(entry.target) is not tar.Kind.FILE:
                raise DataError(
                    "archive.deb.hardlink", f"{path} is a hard link to no file before it", found=entry.target
                )
            os.link(os.path.join(self._folder, entry.target), place, follow_symlinks=False)
        self._kinds[path] = tar.Kind.FILE if entry.kind is tar.Kind.HARDLINK else entry.kind

    def _parents(self, path: str) -> None:
        at = path.find("/")
        while at >= 0:
            self._directory(path[:at])
            at = path.find("/", at + 1)

    def _directory(self, path: str) -> None:
        kind = self._kinds.get(path)
        if kind is None:
            if len(self._kinds) > self._limit:  # also those that no entry names: one path can stand for thousands
                raise DataError("archive.deb.entries", "the package has too many directories")
            os.mkdir(place := os.path.join(self._folder, path))
            os.chmod(place, 0o755)  # whatever the umask
            self._kinds[path] = tar.Kind.DIRECTORY
        elif kind is not tar.Kind.DIRECTORY:
            raise DataError("archive.deb.through", f"{path} is a {kind.value}, not a directory to write into")
