# SPDX-License-Identifier: MIT
"""composefs-dump text as a tree.

One line per name: path size mode nlink uid gid rdev mtime payload content digest, then attributes as name=value,
divided by single spaces. Parents come before children, the root first. A mode that begins with `@` makes the line a
hard link to the path in the payload field; the target may come later, and its own line says what the node is.

Invariants: every refusal is a `DataError` with a code `dump.…` and the number of the line; accepted text gives the
tree that C mkcomposefs builds from it. Strict mode refuses what that tool refuses under CFS_PARSE_STRICT. Where it
reads undefined memory or drops an error (a digest that is not one, a broken group number) we refuse.
Out of scope: printing (see `_dump_print`), limits of the image format beyond the text's own.

    root = parse_dump(b"/ 0 40755 2 0 0 0 0.0 - - -\\n/hello 3 100644 1 0 0 0 0.0 - hi\\\\n -\\n")
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

from powernode.composefs import _kinds
from powernode.composefs._dump_fields import (
    UINT32_MAX,
    read_digest,
    read_mtime,
    read_number,
    read_string,
    read_xattrs,
    refuse,
    unescape,
)
from powernode.composefs.tree import Directory, Node, Xattrs

_FIELDS = 11


def parse_dump(text: bytes, *, strict: bool = False) -> Directory:
    """The tree of a dump."""
    return read_dump(text, strict=strict).root


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDump:
    """`wide`: ids of the devices (whiteouts apart), fifos and sockets for which the dump gives a size of 4 GiB or more.
    The tree has no such thing, nor has an image; but the C tool, before it drops the size, makes room for it, so they
    have the large kind of inode."""

    root: Directory
    wide: frozenset[int]


def read_dump(text: bytes, *, strict: bool = False) -> ParsedDump:
    """The tree of a dump, and what its image needs beyond it."""
    if not text:
        raise refuse("empty", 1, "the dump has no lines", expected="a line for the root")
    lines = text.split(b"\n")
    unended = len(lines)
    if lines[-1] == b"":
        lines.pop()
    builder = _TreeBuilder()
    for number, line in enumerate(lines, 1):
        if b"\0" in line:
            raise refuse("nul", number, "the line holds a NUL byte", found=f"at {line.index(0)}")
        if strict and number == unended:
            raise refuse("newline", number, "the last line does not end with a newline")
        _parse_line(builder, line, number, strict)
    return ParsedDump(root=builder.finish(), wide=frozenset(builder.wide))


@dataclass(slots=True)
class _HardLink:
    """A name whose target is resolved when the whole text has been read."""

    number: int
    directory: dict[bytes, Node]
    name: bytes
    target: bytes


@dataclass(slots=True)
class _TreeBuilder:
    """Nodes by path while the lines come in. A hard link's name holds an empty node until `finish`."""

    root: Directory | None = None
    entries: dict[bytes, dict[bytes, Node]] = field(default_factory=dict)
    """Of each directory by its path, `b""` for the root."""
    links: dict[bytes, set[bytes]] = field(default_factory=dict)
    hard_links: dict[int, _HardLink] = field(default_factory=dict)
    """By the id of the node that stands in."""
    wide: set[int] = field(default_factory=set)
    duplicate: tuple[int, bytes] | None = None
    """The first path that is there twice: told when every line is known to be good, as the C library does, which
    sorts before it compares."""

    def locate(self, path: bytes, number: int) -> tuple[bytes, bytes]:
        """The path of the parent and the name, both checked."""
        if b"//" in path or path[:1] != b"/":
            slash = b"/" if path[-1:] == b"/" else b""
            path = b"".join(b"/" + part for part in path.split(b"/") if part) + slash
        parent, _, name = path.rpartition(b"/")
        siblings = self.entries.get(parent)
        if siblings is None:
            if self.root is None:
                raise refuse("root-missing", number, "the first line is not the root", expected="/", found=repr(path))
            raise refuse(
                "parent-missing", number, "the parent is not a directory of an earlier line", found=repr(parent)
            )
        if not name:
            raise refuse("name-empty", number, "the path ends with a slash", found=repr(path))
        if name in (b".", b".."):
            raise refuse("name-dot", number, "a name is . or ..", found=repr(path))
        if len(name) > _kinds.NAME_MAX:
            raise refuse("name-long", number, "a name is too long", expected=f"at most {_kinds.NAME_MAX} bytes")
        if name in siblings and self.duplicate is None:
            self.duplicate = number, path
        return parent, name

    def add_directory(self, parent: bytes, name: bytes, make: _DirectoryFields) -> None:
        path = parent + b"/" + name if name else b""
        self.entries.setdefault(path, {})
        self.links.setdefault(path, set())
        directory = Directory(
            mode=make.mode & _kinds.PERMISSIONS,
            uid=make.uid,
            gid=make.gid,
            mtime_s=make.mtime_s,
            mtime_ns=make.mtime_ns,
            nlink=make.nlink,
            xattrs=make.xattrs,
            entries=self.entries[path],
            links=self.links[path],
        )
        if name:
            self.entries[parent][name] = directory
        else:
            self.root = directory

    def add_hard_link(self, parent: bytes, name: bytes, target: bytes, number: int) -> None:
        stand_in = Node()
        self.entries[parent][name] = stand_in
        self.links[parent].add(name)
        self.hard_links[id(stand_in)] = _HardLink(number, self.entries[parent], name, target)

    def finish(self) -> Directory:
        """Put the targets in place of the stand-ins."""
        assert self.root is not None  # every first line either makes it or is refused
        if self.duplicate is not None:
            number, path = self.duplicate
            raise refuse("name-duplicate", number, "there is already such a path", found=repr(path))
        unresolved = dict(self.hard_links)
        for link in self.hard_links.values():
            chain: list[_HardLink] = []
            node = link.directory[link.name]
            while id(node) in unresolved:
                step = unresolved.pop(id(node))
                chain.append(step)
                node = self._look_up(step)
            if id(node) in self.hard_links:
                code = "hardlink-self" if len(chain) == 1 else "hardlink-cycle"
                raise refuse(code, link.number, "hard links lead to each other", found=repr(link.target))
            if isinstance(node, Directory):
                raise refuse(
                    "hardlink-to-directory", link.number, "a hard link leads to a directory", found=repr(link.target)
                )
            for step in chain:
                step.directory[step.name] = node
        return self.root

    def _look_up(self, link: _HardLink) -> Node:
        parent, _, name = b"/".join((b"", *(part for part in link.target.split(b"/") if part))).rpartition(b"/")
        node = self.entries.get(parent, {}).get(name) if name else self.root
        if node is None:
            raise refuse(
                "hardlink-missing", link.number, "the target of a hard link does not exist", found=repr(link.target)
            )
        return node


@dataclass(slots=True, kw_only=True)
class _DirectoryFields:
    mode: int
    uid: int
    gid: int
    mtime_s: int
    mtime_ns: int
    nlink: int
    xattrs: Xattrs


def _parse_line(builder: _TreeBuilder, line: bytes, number: int, strict: bool) -> None:
    fields = line.split(b" ", _FIELDS)
    fields += [b""] * (_FIELDS + 1 - len(fields))
    path = read_string(fields[0], number, "path")
    if not path:
        raise refuse("path-empty", number, "the line has no path")
    mode_text = fields[2]
    is_hard_link = mode_text[:1] == b"@"
    # The C tool keeps 16 bits of the mode, whatever else is there.
    mode = read_number(mode_text[1:] if is_hard_link else mode_text, "mode", number, base=8) & 0xFFFF
    if stat.S_IFMT(mode) not in _kinds.TYPE_BITS.values():
        raise refuse("mode", number, "the mode has no known file type", found=repr(mode_text))
    is_directory = stat.S_ISDIR(mode)
    parent = name = b""
    if path != b"/":
        parent, name = builder.locate(path, number)
    elif not is_directory:
        raise refuse("root-type", number, "the root is not a directory", found=repr(mode_text))
    elif builder.root is not None:
        raise refuse("root-again", number, "there are two roots")
    if is_hard_link:
        if is_directory:
            raise refuse("hardlink-directory", number, "a directory cannot be a hard link")
        target = None if fields[8] == b"-" else read_string(fields[8], number, "target")
        if target is None:
            raise refuse("hardlink-target", number, "the hard link has no target", found=repr(fields[8]))
        builder.add_hard_link(parent, name, target, number)
        return
    _add_node(builder, parent, name, mode, fields, number, strict)


def _add_node(
    builder: _TreeBuilder, parent: bytes, name: bytes, mode: int, fields: list[bytes], number: int, strict: bool
) -> None:
    size = read_number(fields[1], "size", number)
    nlink, uid, gid, device = (
        read_number(fields[position], name, number)
        for position, name in ((3, "nlink"), (4, "uid"), (5, "gid"), (6, "rdev"))
    )
    if strict and device and not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        raise refuse("strict-rdev", number, "only devices have a device number", expected="0", found=str(device))
    nlink, uid, gid, rdev = (value & UINT32_MAX for value in (nlink, uid, gid, device))
    mtime_s, mtime_ns = read_mtime(fields[7], number)
    payload = None if fields[8] == b"-" else read_string(fields[8], number, "payload")
    content = None if fields[9] == b"-" else unescape(fields[9], number)
    if content is not None and len(content) != size:
        raise refuse("content-size", number, "size and content disagree", expected=str(size), found=str(len(content)))
    if payload is not None and len(payload) > _kinds.PATH_MAX:
        raise refuse("payload-long", number, "a payload is too long", expected=f"at most {_kinds.PATH_MAX} bytes")
    is_symlink = stat.S_ISLNK(mode)
    digest: bytes | None = None
    if stat.S_ISREG(mode) and size and not content:
        if size > _kinds.FILE_SIZE_MAX:
            raise refuse("file-size", number, "the file is too large", expected="at most 2^53 bytes", found=str(size))
        digest = read_digest(fields[10], number)
    else:
        unescape(fields[10], number)  # has no place in the image, but is text of the format
    if is_symlink:
        _check_symlink(payload, size, content, number, strict)
    elif content is not None and len(content) > _kinds.INLINE_CONTENT_MAX:
        raise refuse(
            "content-long",
            number,
            "the content is too large to lie in an image",
            expected=f"at most {_kinds.INLINE_CONTENT_MAX} bytes",
            found=str(len(content)),
        )
    xattrs = read_xattrs(fields[11], number)
    if stat.S_ISDIR(mode):
        made = _DirectoryFields(
            mode=mode, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs
        )
        builder.add_directory(parent, name, made)
        return
    node = _kinds.make_leaf(
        mode,
        uid=uid,
        gid=gid,
        mtime_s=mtime_s,
        mtime_ns=mtime_ns,
        nlink=nlink,
        xattrs=xattrs,
        size=size,
        content=content,
        payload=payload or None,
        digest=digest,
        target=payload or b"",
        rdev=rdev,
    )
    builder.entries[parent][name] = node
    if size > UINT32_MAX and not (stat.S_ISREG(mode) or is_symlink or _kinds.is_whiteout(node)):
        builder.wide.add(id(node))


def _check_symlink(target: bytes | None, size: int, content: bytes | None, number: int, strict: bool) -> None:
    if not target:
        raise refuse("symlink-empty", number, "the symlink has no target")
    if strict and size != len(target):
        raise refuse(
            "strict-symlink-size",
            number,
            "the size of a symlink is not that of its target",
            expected=str(len(target)),
            found=str(size),
        )
    if strict and content:
        raise refuse("strict-symlink-content", number, "a symlink has no content", found=f"{len(content)} bytes")
