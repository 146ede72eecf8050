# SPDX-License-Identifier: MIT
"""The three texts about an image without the C library: dump, listing, objects."""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.composefs._dump_print import escape_text, print_dump
from powernode.composefs._image_pure import read_image
from powernode.composefs.tree import Directory, Node, RegularFile, Symlink, walk


def text(image: bytes | memoryview, what: str, only: list[bytes]) -> bytes:
    if any(b"/" in name or not name for name in only):
        raise DataError("composefs.filter", "a filter is the name of an entry of the root, not a path")
    root = read_image(image)
    if what == "dump":
        return _dump(root, only)
    kept = Directory(entries={name: node for name, node in root.entries.items() if not only or name in only})
    return _listing(kept) if what == "listing" else _objects(kept)


def _dump(root: Directory, only: list[bytes]) -> bytes:
    """Filters lines, not the tree: the order of attributes depends on what the whole image shares."""
    whole = print_dump(root)
    if not only:
        return whole
    lines = dict(line.split(b" ", 1) for line in whole.splitlines())
    wanted = {escape_text(b"/" + name) for name in only}
    stands: dict[bytes, bytes] = {}  # the target of a link, and the first path printed for it
    out = []
    for path, fields in lines.items():
        top = path[: path.find(b"/", 1)] if b"/" in path[1:] else path
        if path != b"/" and top not in wanted:
            continue
        columns = fields.split(b" ")
        if not columns[1].startswith(b"@"):
            stands[path] = path
        else:
            target = columns[6]
            if target in stands:
                columns[6] = stands[target]
            else:  # what it links to is left out, so this name stands for the file
                columns = lines[target].split(b" ")
                stands[target] = path
        out.append(path + b" " + b" ".join(columns) + b"\n")
    return b"".join(out)


def _listing(root: Directory) -> bytes:
    seen: set[int] = set()
    lines = []
    for path, node in walk(root):
        if path == b"/":
            continue
        lines.append(escape_text(path).replace(b"\\x20", b" ") + (b"" if id(node) in seen else _what(node)) + b"\n")
        seen.add(id(node))
    return b"".join(lines)


def _what(node: Node) -> bytes:
    if isinstance(node, Directory):
        return b"/\t"
    if isinstance(node, Symlink):
        return b"\t-> " + escape_text(node.target)
    if isinstance(node, RegularFile) and node.payload:
        return b"\t@ " + escape_text(node.payload)
    return b""


def _objects(root: Directory) -> bytes:
    payloads = {node.payload for _, node in walk(root) if isinstance(node, RegularFile) and node.payload}
    return b"".join(payload + b"\n" for payload in sorted(payloads))
