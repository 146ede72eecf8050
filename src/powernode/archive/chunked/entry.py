# SPDX-License-Identifier: MIT
"""What a layer holds: an entry, its limits, and the names that may stand beside each other.

Invariants: a path is relative and clean UTF-8, at most 4095 bytes and 255 between slashes, "" for the top; a parent is
a directory and never a link; no name is there twice; none is a whiteout (`.wh.…`), which means something only above
another layer. Files of 1 to 64 bytes carry their `content`, as in the composefs image; for larger ones `verity` is the
fs-verity digest, where it is known.

Out of scope: bytes (`_tar`, `toc`).

    Entry(path=b"etc/motd", kind=Kind.FILE, mode=0o644, size=3, content=b"hi\\n")
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from powernode.base.errors import DataError

__all__ = ["INLINE_MAX_BYTES", "Entry", "Kind", "Limits", "Names", "TocEntry", "Xattrs", "clean_path"]

INLINE_MAX_BYTES = 64
"""Files up to this size are in the composefs image itself, and in the TOC."""

PATH_MAX_BYTES, NAME_MAX_BYTES = 4095, 255
XATTR_COST_BYTES = 96  # what each extended attribute costs in memory besides its bytes
_XATTRS_MAX_BYTES = 32_767  # of one inode, as in a composefs image
_ID_MAX = (1 << 32) - 1
_SIZE_MAX = 1 << 53  # more is not kept by every JSON reader, nor by any disk of ours
_MTIMES = range(-62_135_596_800, 253_402_300_800)  # the years 1 to 9999, which RFC 3339 can write

Xattrs = tuple[tuple[bytes, bytes], ...]
"""Extended attributes sorted by full name."""


class Kind(enum.Enum):
    FILE = "reg"
    DIRECTORY = "dir"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"  # only in layers of others


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`mode` holds the permission bits only. `target` is a link's text; for a hard link, a path like `path`."""

    path: bytes
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0
    xattrs: Xattrs = ()
    size: int = 0
    target: bytes = b""
    content: bytes | None = None
    verity: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TocEntry(Entry):
    """An entry and where its content is: its SHA-256, and the frames from `offset` to `end_offset` of the blob."""

    digest: bytes | None = None
    offset: int = 0
    end_offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a layer may be; the defaults fit a whole distribution."""

    entries: int = 500_000
    bytes: int = 32 << 30
    """Of the whole uncompressed archive."""
    header_bytes: int = 1 << 20
    """Of the extended header of one entry."""
    toc_bytes: int = 128 << 20
    """Of the uncompressed table of contents."""
    names_bytes: int = 128 << 20
    """Of all names, targets and extended attributes: what is kept of a layer in memory."""


class Names:
    """The names of a layer as they come: how many, and how much is kept of them."""

    def __init__(self, limits: Limits, *, implied_parents: bool) -> None:
        self._limits = limits
        self._kinds: dict[bytes, Kind] = {}
        self._implied: set[bytes] = set()
        self._bytes = 0
        self._implied_parents = implied_parents

    def add(self, entry: Entry) -> None:
        path = entry.path
        known = self._kinds.get(path)
        if known is not None and (path not in self._implied or entry.kind is not Kind.DIRECTORY):
            raise _refused("duplicate", f"{_shown(path)} is there twice")
        if path.rpartition(b"/")[2].startswith(b".wh."):
            raise _refused("whiteout", f"{_shown(path)} is a whiteout", "a layer that needs no other layer below it")
        if path:
            self._check_parent(path)
        elif entry.kind is not Kind.DIRECTORY:
            raise _refused("root", "the root is no directory")
        self._implied.discard(path)
        xattrs = sum(len(name) + len(value) + XATTR_COST_BYTES for name, value in entry.xattrs)
        self._keep(path, entry.kind, len(entry.target) + xattrs)

    def kind(self, path: bytes) -> Kind | None:
        return self._kinds.get(path)

    def _check_parent(self, path: bytes) -> None:
        parent = path
        while parent:
            parent = parent.rpartition(b"/")[0]
            kind = self._kinds.get(parent)
            if kind is Kind.DIRECTORY:
                return
            if kind is not None:
                raise _refused("through", f"{_shown(path)} would be below {_shown(parent)}, which is no directory")
            if not self._implied_parents:
                raise _refused("parent", f"{_shown(path)} comes before its directory")
            self._keep(parent, Kind.DIRECTORY, 0)  # one deep path implies two thousand directories
            self._implied.add(parent)

    def _keep(self, path: bytes, kind: Kind, more: int) -> None:
        self._kinds[path] = kind
        self._bytes += len(path) + more
        if len(self._kinds) > self._limits.entries:
            raise _refused("entries", "the layer has too many entries", f"at most {self._limits.entries}")
        if self._bytes > self._limits.names_bytes:
            most = f"at most {self._limits.names_bytes} bytes"
            raise _refused("names", "names, targets and extended attributes are too long, all together", most)


def clean_path(name: bytes) -> bytes:
    """Without `./` and a final slash; a name that leads elsewhere is refused, not repaired."""
    if b"\0" in name:
        raise _refused("path.nul", "a name holds a NUL byte", found=_shown(name))
    if name.startswith(b"/"):
        raise _refused("path.absolute", f"the name {_shown(name)} is absolute", "a name relative to the root")
    inner = name[:-1] if name.endswith(b"/") else name
    inner = b"" if inner == b"." else inner.removeprefix(b"./")
    parts = inner.split(b"/") if inner else []
    if not name or any(part in (b"", b".", b"..") for part in parts):
        raise _refused("path.traversal", f"the name {_shown(name)} leads elsewhere", "a clean path without `..`")
    if len(inner) > PATH_MAX_BYTES or any(len(part) > NAME_MAX_BYTES for part in parts):
        limits = f"at most {PATH_MAX_BYTES} bytes, {NAME_MAX_BYTES} between slashes"
        raise _refused("path.long", f"the name {_shown(name)} is too long", limits)
    check_text(inner, "name")
    return inner


def check_text(text: bytes, what: str) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise _refused("path.utf8", f"the {what} {_shown(text)} is not UTF-8", "what JSON can hold") from None


def check_values(entry: Entry) -> None:
    """Everything but the path: what this library writes, and all that it takes from others."""
    shown = _shown(entry.path)
    if not (0 <= entry.mode <= 0o7777 and 0 <= entry.uid <= _ID_MAX and 0 <= entry.gid <= _ID_MAX):
        found = f"mode {entry.mode:o}, owner {entry.uid}, group {entry.gid}"
        raise _refused("number", f"{shown}: a number is out of range", found=found)
    if entry.mtime_s not in _MTIMES:
        raise _refused("time", f"{shown}: its time is none of the years 1 to 9999", found=str(entry.mtime_s))
    if not 0 <= entry.size <= _SIZE_MAX or (entry.size and entry.kind is not Kind.FILE):
        raise _refused("size", f"{shown}: its size is out of range", found=str(entry.size))
    if entry.kind is Kind.SYMLINK:
        if not entry.target or b"\0" in entry.target or len(entry.target) > PATH_MAX_BYTES:
            raise _refused("target", f"{shown} is a link to nothing, or to too long a path")
        check_text(entry.target, "target")
    check_xattrs(entry.xattrs, shown)


def check_xattrs(xattrs: Xattrs, shown: str) -> None:
    names = [name for name, _ in xattrs]
    size = sum(len(name) + len(value) for name, value in xattrs)
    if size > _XATTRS_MAX_BYTES or any(not 0 < len(name) <= NAME_MAX_BYTES for name in names):
        raise _refused("xattr", f"{shown}: its extended attributes are too long", f"at most {_XATTRS_MAX_BYTES} bytes")
    if names != sorted(set(names)) or any(b"=" in name or b"\0" in name for name in names):
        raise _refused("xattr", f"{shown}: its extended attributes cannot be kept in an archive")
    for name in names:
        check_text(name, "attribute")


def _refused(what: str, message: str, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"archive.layer.{what}", message, expected=expected, found=found)


def _shown(path: bytes) -> str:
    return repr(path[:200].decode("utf-8", "replace"))
