# SPDX-License-Identifier: MIT
"""composefs-dump text as a tree.

One line per name: path size mode nlink uid gid rdev mtime payload content digest, then attributes as name=value,
divided by single spaces. Parents come before children, the root first. A mode that begins with `@` makes the line a
hard link to the path in the payload field; the target may come later, and its own line says what the node is.

Invariants: every refusal is a `DataError` with a code `dump.…` and the number of the line; accepted text gives the
tree that C mkcomposefs builds from it. Strict mode refuses what the C tool refuses under CFS_PARSE_STRICT, and
missing fields. Where the C tool reads undefined memory or drops an error (a digest that is not one, a broken group
number) we refuse.
Out of scope: printing (see `_dump_print`), limits of the image format beyond the text's own.

    root = parse_dump(b"/ 0 40755 2 0 0 0 0.0 - - -\\n/hello 3 100644 1 0 0 0 0.0 - hi\\\\n -\\n")
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field

from powernode.base.errors import DataError
from powernode.composefs import _kinds
from powernode.composefs.tree import Directory, Node, Xattrs

_AREA = "dump"
_FIELDS = 11
_XATTRS_LINE_MAX = 65535
_UINT32_MAX = 0xFFFFFFFF
_UINT64_MAX = 0xFFFFFFFFFFFFFFFF
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[\\nrt]|)")
_PLAIN_ESCAPES = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_OCTAL = re.compile(rb"[0-7]{1,22}")
_MTIME = re.compile(rb"(-?[0-9]{1,19})\.([0-9]{1,10})")
_DIGEST = re.compile(rb"[0-9a-fA-F]{64}")


def parse_dump(text: bytes, *, strict: bool = False) -> Directory:
    """The tree of a dump."""
    if not text:
        raise _refuse("empty", 1, "the dump has no lines", expected="a line for the root")
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    elif strict:
        raise _refuse("newline", len(lines), "the last line does not end with a newline")
    builder = _TreeBuilder()
    for number, line in enumerate(lines, 1):
        _parse_line(builder, line, number, strict)
    return builder.finish()


def unescape(text: bytes, number: int) -> bytes:
    """Undo `\\\\`, `\\n`, `\\r`, `\\t` and `\\xHH`."""
    if b"\\" not in text:
        return text

    def replace(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if not code:
            rest = text[match.start() : match.start() + 4]
            raise _refuse("escape", number, "an escape is not one of \\\\ \\n \\r \\t \\xHH", found=repr(rest))
        return bytes((int(code[1:], 16),)) if code[:1] == b"x" else _PLAIN_ESCAPES[code]

    return _ESCAPE.sub(replace, text)


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

    def locate(self, path: bytes, number: int) -> tuple[bytes, bytes]:
        """The path of the parent and the name, both checked."""
        if b"//" in path or path[:1] != b"/":
            path = b"/" + b"/".join(part for part in path.split(b"/") if part) + (b"/" if path[-1:] == b"/" else b"")
        parent, _, name = path.rpartition(b"/")
        _kinds.check_name(name, area=_AREA, where=_line(number))
        siblings = self.entries.get(parent)
        if siblings is None:
            if self.root is None:
                raise _refuse("root", number, "the first line is not the root", expected="/", found=repr(path))
            raise _refuse("parent", number, "the parent is not a directory of an earlier line", found=repr(parent))
        if name in siblings:
            raise _refuse("exists", number, "there is already such a path", found=repr(path))
        return parent, name

    def add_directory(self, parent: bytes, name: bytes, make: _DirectoryFields) -> None:
        path = parent + b"/" + name if name else b""
        self.entries[path] = {}
        self.links[path] = set()
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
        unresolved = dict(self.hard_links)
        for link in self.hard_links.values():
            chain: list[_HardLink] = []
            node = link.directory[link.name]
            while id(node) in unresolved:
                step = unresolved.pop(id(node))
                chain.append(step)
                node = self._look_up(step)
            if id(node) in self.hard_links:
                raise _refuse("link-loop", link.number, "hard links lead to each other", found=repr(link.target))
            if isinstance(node, Directory):
                raise _refuse(
                    "link-directory", link.number, "a hard link leads to a directory", found=repr(link.target)
                )
            for step in chain:
                step.directory[step.name] = node
        return self.root

    def _look_up(self, link: _HardLink) -> Node:
        parent, _, name = b"/".join((b"", *(part for part in link.target.split(b"/") if part))).rpartition(b"/")
        node = self.entries.get(parent, {}).get(name) if name else self.root
        if node is None:
            raise _refuse(
                "link-target", link.number, "the target of a hard link does not exist", found=repr(link.target)
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
    if b"\0" in line:
        raise _refuse("nul", number, "the line holds a NUL byte", found=f"at {line.index(0)}")
    fields = line.split(b" ", _FIELDS)
    if strict and len(fields) < _FIELDS:
        raise _refuse("fields", number, "fields are missing", expected=str(_FIELDS), found=str(len(fields)))
    fields += [b""] * (_FIELDS + 1 - len(fields))
    path = unescape(fields[0], number)
    if not path or b"\0" in path:
        raise _refuse("path", number, "this is not a path", found=repr(path))
    mode_text = fields[2]
    is_hard_link = mode_text[:1] == b"@"
    # The C tool keeps 16 bits of the mode, whatever else is there.
    mode = _number(mode_text[1:] if is_hard_link else mode_text, "mode", number, _UINT64_MAX, base=8) & 0xFFFF
    if stat.S_IFMT(mode) not in _kinds.TYPE_BITS.values():
        raise _refuse("mode", number, "the mode has no known file type", found=repr(mode_text))
    is_directory = stat.S_ISDIR(mode)
    parent = name = b""
    if path != b"/":
        parent, name = builder.locate(path, number)
    elif not is_directory:
        raise _refuse("root", number, "the root is not a directory", found=repr(mode_text))
    elif builder.root is not None:
        raise _refuse("root", number, "there are two roots")
    if is_hard_link:
        if is_directory:
            raise _refuse("link-directory", number, "a directory cannot be a hard link")
        target = _optional(fields[8], number)
        if not target or b"\0" in target:
            raise _refuse("link-target", number, "the hard link has no target", found=repr(fields[8]))
        builder.add_hard_link(parent, name, target, number)
        return
    _add_node(builder, parent, name, mode, fields, number, strict)


def _add_node(
    builder: _TreeBuilder, parent: bytes, name: bytes, mode: int, fields: list[bytes], number: int, strict: bool
) -> None:
    size = _number(fields[1], "size", number, _UINT64_MAX)
    nlink = _number(fields[3], "nlink", number, _UINT32_MAX)
    uid = _number(fields[4], "uid", number, _UINT32_MAX)
    gid = _number(fields[5], "gid", number, _UINT32_MAX)
    rdev = _number(fields[6], "rdev", number, _UINT32_MAX)
    mtime_s, mtime_ns = _mtime(fields[7], number)
    payload = _optional(fields[8], number)
    content = _optional(fields[9], number)
    digest = _digest(fields[10], number)
    if content is not None and len(content) != size:
        raise _refuse("content-size", number, "size and content disagree", expected=str(size), found=str(len(content)))
    is_symlink = stat.S_ISLNK(mode)
    if payload and not is_symlink:
        _kinds.check_payload(payload, area=_AREA, where=_line(number))
    if is_symlink:
        _kinds.check_target(payload or b"", area=_AREA, where=_line(number))
        if strict and (size != len(payload or b"") or content):
            raise _refuse("symlink-size", number, "the size of a symlink is not that of its target", found=str(size))
    elif content is not None and len(content) > _kinds.INLINE_CONTENT_MAX:
        raise _refuse(
            "content-length",
            number,
            "the content is too large to lie in an image",
            expected=f"at most {_kinds.INLINE_CONTENT_MAX} bytes",
            found=str(len(content)),
        )
    is_device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    if strict and rdev and not is_device:
        raise _refuse("rdev", number, "only devices have a device number", expected="0", found=str(rdev))
    if size > _UINT32_MAX and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or is_symlink):
        # The C tool would drop the size but let it choose a larger inode; nothing real needs that.
        raise _refuse("size", number, "this file type has no size", expected="0", found=str(size))
    xattrs = _xattrs(fields[11], number)
    if stat.S_ISDIR(mode):
        made = _DirectoryFields(
            mode=mode, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs
        )
        builder.add_directory(parent, name, made)
        return
    builder.entries[parent][name] = _kinds.make_leaf(
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


def _optional(text: bytes, number: int) -> bytes | None:
    return None if text == b"-" else unescape(text, number)


def _number(text: bytes, name: str, number: int, limit: int, *, base: int = 10) -> int:
    if not (_DECIMAL if base == 10 else _OCTAL).fullmatch(text):
        raise _refuse("number", number, f"the {name} is not a number of base {base}", found=repr(text))
    value = int(text, base)
    if value > limit:
        raise _refuse("number", number, f"the {name} is too large", expected=f"at most {limit}", found=str(value))
    return value


def _mtime(text: bytes, number: int) -> tuple[int, int]:
    match = _MTIME.fullmatch(text)
    if match is None:
        raise _refuse("number", number, "the mtime is not seconds.nanoseconds", found=repr(text))
    seconds, nanoseconds = int(match[1]), int(match[2])
    if not -(1 << 63) <= seconds < 1 << 63 or nanoseconds > _UINT32_MAX:
        raise _refuse("number", number, "the mtime does not fit its field", found=repr(text))
    return seconds, nanoseconds


def _digest(text: bytes, number: int) -> bytes | None:
    """Absent as `-` and, where fields may be missing, as nothing."""
    if text in (b"-", b""):
        return None
    digest = unescape(text, number)
    if not _DIGEST.fullmatch(digest):
        raise _refuse("digest", number, "the digest is not SHA-256 in hexadecimal", found=repr(digest))
    return bytes.fromhex(digest.decode("ascii"))


def _xattrs(text: bytes, number: int) -> Xattrs:
    if not text:
        return ()
    if len(text) > _XATTRS_LINE_MAX:
        raise _refuse(
            "xattrs-length", number, "the attributes of one line are too long", expected=f"at most {_XATTRS_LINE_MAX}"
        )
    pairs: dict[bytes, bytes] = {}
    for item in text.removesuffix(b" ").split(b" "):
        name, equals, value = item.partition(b"=")
        if not equals:
            raise _refuse("xattr", number, "an attribute has no =", found=repr(item))
        pairs[unescape(name, number)] = unescape(value, number)
    xattrs = tuple(sorted(pairs.items()))
    _kinds.check_xattrs(xattrs, area=_AREA, where=_line(number))
    return xattrs


def _line(number: int) -> str:
    return f"line {number}"


def _refuse(
    code: str, number: int, message: str, *, expected: str | None = None, found: str | None = None
) -> DataError:
    return DataError(f"{_AREA}.{code}", f"{_line(number)}: {message}", expected=expected, found=found)
