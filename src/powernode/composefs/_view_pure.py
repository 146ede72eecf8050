# SPDX-License-Identifier: MIT
"""The three texts about an image without the C library: dump, listing, objects.

Invariants: the bytes the C library prints, for every image, also one that no writer would make: sizes, link counts and
the order of attributes are printed as stored. How much may be printed is limited as it is there.
Out of scope: trees; see `_dump_print`, which prints the same for the tree of an honest image.

    text(image, "listing", [b"etc"])
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection

from powernode.base.errors import DataError
from powernode.composefs._dump_print import FIELDS, end_line, escape_optional, escape_path, escape_text
from powernode.composefs._image_view import ViewEntry, view_image
from powernode.erofs._reader import unfolded_limit


def text(image: bytes | memoryview, what: str, only: Collection[bytes]) -> bytes:
    """`dump`, `listing` or `objects`; `only` names entries of the root."""
    printer = {"dump": _dump, "listing": _listing, "objects": _objects}[what]
    return printer(image, only)


class _Lines:
    """Refused once they say more than an honest image could."""

    def __init__(self, image: bytes | memoryview) -> None:
        self._lines: list[bytes] = []
        self._left = unfolded_limit(len(image))

    def add(self, make: Callable[[], bytes]) -> None:
        if self._left < 0:  # asked before a line is made, as in C: one line more is no danger
            raise DataError(
                "composefs.text-size", "the text would be far longer than that of an honest image of this size"
            )
        line = make()
        self._left -= len(line)
        self._lines.append(line)

    def joined(self) -> bytes:
        return b"".join(self._lines)


def _dump(image: bytes | memoryview, only: Collection[bytes]) -> bytes:
    lines = _Lines(image)
    first_paths: dict[int, bytes] = {}
    for entry in view_image(image, only=only):
        first = first_paths.setdefault(entry.stored.nid, entry.path)
        lines.add(lambda entry=entry, first=first: _dump_line(entry, first))  # type: ignore[misc]
    return lines.joined()


def _dump_line(entry: ViewEntry, first_path: bytes) -> bytes:
    stored = entry.stored
    fields = FIELDS % (
        escape_text(entry.path),
        stored.size,
        b"@" if entry.is_link else b"",
        entry.mode,
        stored.nlink,
        stored.uid,
        stored.gid,
        stored.rdev,
        stored.mtime_s,
        stored.mtime_ns,
        escape_text(first_path) if entry.is_link else escape_optional(entry.payload),
        escape_optional(entry.content),
        b"-" if entry.digest is None else entry.digest.hex().encode("ascii"),
    )
    return end_line(fields, entry.xattrs)


def _listing(image: bytes | memoryview, only: Collection[bytes]) -> bytes:
    lines = _Lines(image)
    for entry in view_image(image, only=only):
        if entry.path != b"/":
            lines.add(lambda entry=entry: escape_path(entry.path) + _what(entry) + b"\n")  # type: ignore[misc]
    return lines.joined()


def _what(entry: ViewEntry) -> bytes:
    if entry.is_link:
        return b""
    if stat.S_ISDIR(entry.mode):
        return b"/\t"
    if entry.payload is None:
        return b""
    return (b"\t-> " if stat.S_ISLNK(entry.mode) else b"\t@ ") + escape_text(entry.payload)


def _objects(image: bytes | memoryview, only: Collection[bytes]) -> bytes:
    left = unfolded_limit(len(image))
    payloads: set[bytes] = set()
    for entry in view_image(image, only=only):
        if entry.is_link or entry.payload is None or not stat.S_ISREG(entry.mode):
            continue
        if b"\n" in entry.payload:
            raise DataError("composefs.object-name", "an object path with a line break cannot be listed")
        left -= len(entry.payload)
        if left < 0:
            raise DataError(
                "composefs.text-size", "the object paths exceed by far those of an honest image of this size"
            )
        payloads.add(entry.payload)
    return b"".join(payload + b"\n" for payload in sorted(payloads))
