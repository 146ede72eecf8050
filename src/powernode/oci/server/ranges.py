# SPDX-License-Identifier: MIT
"""Which parts of a blob a request asks for, and the body of an answer with several (RFC 9110, 14.2 and 14.6).

Invariants: what cannot be read, is out of order, overlaps or is more than MAX_RANGES is answered with everything, which
a server may always do: so no request makes an answer larger than the blob and a little for each part. Nothing is read
here; the file is sent as it is.

    asked_parts("bytes=0-99,-10", 1000)         # [(0, 100), (990, 10)]
"""

from __future__ import annotations

import re
from itertools import pairwise

from powernode.oci.server.messages import FilePart, FileParts, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

__all__ = ["MAX_RANGES", "asked_parts", "several"]

MAX_RANGES = 1024
_UNIT = "bytes="
_RANGE = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


def asked_parts(header: str | None, size: int) -> list[tuple[int, int]]:
    """Start and length of each part, in order; none for the whole. 416 when nothing of what is asked for is there."""
    if header is None or not header.startswith(_UNIT) or header.count(",") >= MAX_RANGES:
        return []
    found: list[tuple[int, int]] = []
    for text in header.removeprefix(_UNIT).split(","):
        match = _RANGE.fullmatch(text.strip())
        if match is None or match.group(0) == "-":
            return []
        if not match[1]:
            start, end = max(0, size - int(match[2])), size - 1
        else:
            start, end = int(match[1]), min(int(match[2] or size), size - 1)
            if match[2] and int(match[2]) < start:
                return []
        if start <= end:
            found.append((start, end - start + 1))
    if not found:
        headers = [("Content-Range", f"bytes */{size}")]
        raise error(416, "RANGE_INVALID", "the range is not in the blob", headers=headers)
    if any(start + length > after for (start, length), (after, _) in pairwise(found)):
        return []
    return found


def several(file: BinaryIO, parts: Sequence[tuple[int, int]], size: int, boundary: str) -> FileParts:
    """The parts as `multipart/byteranges`."""
    pieces: list[bytes | FilePart] = []
    for start, length in parts:
        head = f"--{boundary}\r\nContent-Type: application/octet-stream\r\n"
        head += f"Content-Range: bytes {start}-{start + length - 1}/{size}\r\n\r\n"
        pieces += [(b"\r\n" if pieces else b"") + head.encode(), FilePart(file, start, length)]
    return FileParts(file, [*pieces, f"\r\n--{boundary}--\r\n".encode()])
