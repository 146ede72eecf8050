# SPDX-License-Identifier: MIT
"""Does a tree hold only values that an image, and a dump, can hold?

Invariants: nothing is changed; the first broken value is a `DataError` with a code `composefs.…` and the path in
front of its message. Both ways out of a tree (image and dump) ask here, so that neither turns a wrong tree into
another one.
Out of scope: directories with two names (see `_places`).

    check_tree(root)
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.composefs import _kinds
from powernode.composefs.tree import BlockDevice, CharacterDevice, Directory, Node, RegularFile, Symlink, Xattrs

_AREA = "composefs"


def check_file_size(size: int, where: str) -> None:
    if size > _kinds.FILE_SIZE_MAX:
        raise DataError(
            "composefs.file-size", f"{where}: the file is too large", expected="at most 2^53 bytes", found=str(size)
        )


def check_content_size(size: int, where: str) -> None:
    if size > _kinds.INLINE_CONTENT_MAX:
        raise DataError(
            "composefs.content-size",
            f"{where}: the content is too large to lie in the image",
            expected=f"at most {_kinds.INLINE_CONTENT_MAX} bytes",
            found=str(size),
        )


def check_tree(root: Directory) -> None:
    """Refuse values that the format cannot hold. Equal attribute tuples are checked once."""
    checked: set[Xattrs] = {()}
    pending: list[tuple[bytes, Directory]] = [(b"", root)]
    _check_node(root, b"/", checked)
    while pending:
        path, directory = pending.pop()
        for name, node in directory.entries.items():
            child_path = path + b"/" + name
            if b"/" in name or b"\0" in name or not 0 < len(name) <= _kinds.NAME_MAX or name in (b".", b".."):
                _kinds.check_name(name, area=_AREA, where=_show(path))
            _check_node(node, child_path, checked)
            if isinstance(node, Directory):
                pending.append((child_path, node))


def _check_node(node: Node, path: bytes, checked: set[Xattrs]) -> None:
    if (
        not 0 <= node.uid <= 0xFFFFFFFF
        or not 0 <= node.gid <= 0xFFFFFFFF
        or not 0 <= node.nlink <= 0xFFFFFFFF
        or not 0 <= node.mtime_ns <= 0xFFFFFFFF
        or not -(1 << 63) <= node.mtime_s < 1 << 63
        or not 0 <= node.mode <= _kinds.PERMISSIONS
    ):
        raise DataError("composefs.number", f"{_show(path)}: an attribute does not fit its field")
    if node.xattrs not in checked:
        _kinds.check_xattrs(node.xattrs, area=_AREA, where=_show(path), limit=_kinds.XATTRS_STORED_MAX)
        checked.add(node.xattrs)
    if isinstance(node, RegularFile):
        if node.content is not None:
            check_content_size(len(node.content), _show(path))
            if len(node.content) != node.size:
                raise DataError(
                    "composefs.content-length",
                    f"{_show(path)}: size and content disagree",
                    expected=str(node.size),
                    found=str(len(node.content)),
                )
        elif node.size:
            if node.size < 0:
                raise DataError("composefs.number", f"{_show(path)}: the size is negative")
            check_file_size(node.size, _show(path))
            if node.digest is not None and len(node.digest) != 32:
                raise DataError("composefs.digest", f"{_show(path)}: the digest is not SHA-256")
            if node.payload:
                _kinds.check_payload(node.payload, area=_AREA, where=_show(path))
    elif isinstance(node, Symlink):
        _kinds.check_target(node.target, area=_AREA, where=_show(path))
    elif isinstance(node, (CharacterDevice, BlockDevice)) and not 0 <= node.rdev <= 0xFFFFFFFF:
        raise DataError("composefs.number", f"{_show(path)}: the device number does not fit its field")


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
