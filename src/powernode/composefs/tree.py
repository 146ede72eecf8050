# SPDX-License-Identifier: MIT
"""The immutable tree a composefs image describes.

Invariants: names are bytes without `/` and NUL and are never empty, `.` or `..`; `Directory.entries` may be in any
order (every writer sorts); two names that hold the *same object* are hard links to it, so leaves compare by identity.
A directory has one name only.
Trees as values are compared by their dump text.

Out of scope: the overlayfs rewriting an image needs (stubs, escaped xattrs); see `_overlay`.

    tree = Directory(mode=0o755, entries={b"hello": RegularFile(mode=0o644, size=3, content=b"hi\\n")})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

Xattrs = tuple[tuple[bytes, bytes], ...]
"""Extended attributes sorted by full name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """What every inode has. `mode` holds the permission bits only (07777): the class is the type."""

    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0
    mtime_ns: int = 0
    nlink: int = 1
    xattrs: Xattrs = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegularFile(Node):
    """`content` is what the image itself carries; `payload` is the path of the object in the store (`ab/cdef…`).

    A file of size 0 has neither; a file with `content` has no payload. `digest` is the fs-verity SHA-256 of the file.
    """

    size: int = 0
    content: bytes | None = None
    payload: bytes | None = None
    digest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Symlink(Node):
    target: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CharacterDevice(Node):
    """`rdev` as the 32-bit number the kernel encodes; 0 is an overlayfs whiteout."""

    rdev: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockDevice(Node):
    rdev: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fifo(Node):
    pass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Socket(Node):
    pass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Directory(Node):
    """`links` marks names that are further names of a node whose own place is elsewhere; it decides only where an
    image stores (and numbers) a hard-linked node. Its place is its first unmarked name in `walk` order, or else its
    first name.
    """

    mode: int = 0o755
    entries: Mapping[bytes, Node] = field(default_factory=dict)
    links: AbstractSet[bytes] = frozenset()


def walk(root: Directory) -> Iterator[tuple[bytes, Node]]:
    """Every name with its node, parents first, siblings in byte order; the root is `/`."""
    stack: list[tuple[bytes, Node]] = [(b"/", root)]
    while stack:
        path, node = stack.pop()
        yield path, node
        if isinstance(node, Directory):
            prefix = path if path == b"/" else path + b"/"
            stack.extend((prefix + name, node.entries[name]) for name in sorted(node.entries, reverse=True))
