# SPDX-License-Identifier: MIT
"""What the verbs share: reading and writing files, the format versions, filters, trees of any source."""

from __future__ import annotations

import os
import sys

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Option, natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from powernode.composefs.tree import Directory

IMAGE_MAX_BYTES = 1 << 34
_PIECE_BYTES = 16 << 20
FILTER = Option("--filter", "NAME", "only this entry of the root and what is below it; may be repeated", repeat=True)
VERSIONS = (
    Option(
        "--min-version", "N", "lowest format version to write, 0 (default) or 1; modules use 1", natural, default=None
    ),
    Option(
        "--max-version",
        "N",
        "highest format version to write (default 1, or that of --min-version if it is given, as mkcomposefs has it)",
        natural,
        default=None,
    ),
)


def versions_of(arguments: Arguments) -> tuple[int, int]:
    """The lowest and the highest format version, which means the lowest where only that is given, as in mkcomposefs."""
    low, high = arguments.min_version, arguments.max_version
    if high is None:
        high = 1 if low is None else low
    low = low or 0
    if not 0 <= low <= high <= 1:
        raise OperatorError(
            "composefs.version",
            "these format versions cannot be written",
            expected="0 <= min <= max <= 1",
            found=f"{low}, {high}",
        )
    return low, high


def names_to_keep(arguments: Arguments) -> list[bytes]:
    """What FILTER was given."""
    return [name.encode("utf-8", "surrogateescape") for name in arguments.filter]


def read(path: str, what: str) -> bytes:
    """A whole file, or standard input for `-`; bounded, because memory is."""
    if path == "-":
        return _read_all(sys.stdin.buffer, path, what, _PIECE_BYTES)
    with open(path, "rb") as file:
        return _read_all(file, path, what, os.fstat(file.fileno()).st_size + 1)  # the one more sees the end


def _read_all(file: BinaryIO, path: str, what: str, first_piece: int) -> bytes:
    """In pieces: `read` reserves as much memory as it is asked for, whatever there is to read."""
    pieces: list[bytes] = []
    size, piece_bytes = 0, first_piece
    while size + piece_bytes <= IMAGE_MAX_BYTES + _PIECE_BYTES:
        piece = file.read(piece_bytes)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size, piece_bytes = size + len(piece), _PIECE_BYTES
    raise OperatorError(
        "composefs.too-large", f"{path} is too large for {what}", expected=f"at most {IMAGE_MAX_BYTES} bytes"
    )


def write_atomically(path: str, data: bytes | memoryview, *, durable: bool = False) -> None:
    """The whole file or none of it: written beside its place and renamed; `durable` also waits for the disk."""
    if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe has no place to rename to
        with open(path, "wb") as file:
            file.write(data)
        return
    path = os.path.realpath(path)  # a link stays one: /dev/stdout must never be replaced by a file
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(temporary, path)
        if durable:
            from powernode.base.durable import sync_folder

            sync_folder(os.path.dirname(path))
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def tree_of(path: str) -> Directory:
    """The tree in a directory, an image or a dump, told apart by what is there."""
    from powernode.composefs import image, scan

    if os.path.isdir(path):
        return image.parse_dump(scan.dump_of(path, scan.ScanOptions(hardlinks=True)))
    data = read(path, "an image or a dump")
    if data[:1] == b"/":
        return image.parse_dump(data)
    return image.to_tree(data)
