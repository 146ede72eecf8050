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
from powernode.composefs._show import shown
from powernode.composefs.tree import BlockDevice, CharacterDevice, Directory, Node, RegularFile, Symlink, Xattrs


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


def check_xattrs(xattrs: Xattrs, where: str, *, limit: int = _kinds.XATTRS_SIZE_MAX) -> None:
    """Names, sizes, and their order."""
    previous = b""
    for name, value in xattrs:
        if not name or b"\0" in name or len(name) > _kinds.XATTR_NAME_MAX:
            raise DataError(
                "composefs.xattr-name", f"{where}: this cannot be the name of an attribute", found=repr(name)
            )
        if len(value) > _kinds.XATTR_VALUE_MAX:
            raise DataError(
                "composefs.xattr-value",
                f"{where}: the value of {name!r} is too long",
                expected=f"at most {_kinds.XATTR_VALUE_MAX} bytes",
                found=str(len(value)),
            )
        if name <= previous:
            raise DataError("composefs.xattr-order", f"{where}: the attributes are not sorted, or one is there twice")
        previous = name
    if xattrs and _kinds.xattrs_size(xattrs) > limit:
        raise DataError(
            "composefs.xattr-size",
            f"{where}: the attributes are too large",
            expected=f"at most {limit} bytes",
            found=str(_kinds.xattrs_size(xattrs)),
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
                raise _wrong_name(name, shown(path))
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
        raise DataError("composefs.number", f"{shown(path)}: an attribute does not fit its field")
    if node.xattrs not in checked:
        check_xattrs(node.xattrs, shown(path), limit=_kinds.XATTRS_STORED_MAX)
        checked.add(node.xattrs)
    if isinstance(node, RegularFile):
        if node.content is not None:
            check_content_size(len(node.content), shown(path))
            if len(node.content) != node.size:
                raise DataError(
                    "composefs.content-length",
                    f"{shown(path)}: size and content disagree",
                    expected=str(node.size),
                    found=str(len(node.content)),
                )
        elif node.size:
            if node.size < 0:
                raise DataError("composefs.number", f"{shown(path)}: the size is negative")
            check_file_size(node.size, shown(path))
            if node.digest is not None and len(node.digest) != 32:
                raise DataError("composefs.digest", f"{shown(path)}: the digest is not SHA-256")
            if node.payload:
                _check_path(node.payload, shown(path), "payload", "the path of an object")
    elif isinstance(node, Symlink):
        _check_path(node.target, shown(path), "symlink", "the target of a symlink")
    elif isinstance(node, (CharacterDevice, BlockDevice)) and not 0 <= node.rdev <= 0xFFFFFFFF:
        raise DataError("composefs.number", f"{shown(path)}: the device number does not fit its field")


def _wrong_name(name: bytes, where: str) -> DataError:
    if len(name) > _kinds.NAME_MAX and b"/" not in name and b"\0" not in name:
        return DataError(
            "composefs.name-length",
            f"{where}: a name is too long",
            expected=f"at most {_kinds.NAME_MAX} bytes",
            found=str(len(name)),
        )
    return DataError("composefs.name", f"{where}: this cannot be a file name", found=repr(name))


def _check_path(path: bytes, where: str, code: str, what: str) -> None:
    if not path or b"\0" in path:
        raise DataError(f"composefs.{code}", f"{where}: this cannot be {what}", found=repr(path))
    if len(path) > _kinds.PATH_MAX:
        raise DataError(
            "composefs.path-length",
            f"{where}: a path is too long",
            expected=f"at most {_kinds.PATH_MAX} bytes",
            found=str(len(path)),
        )
