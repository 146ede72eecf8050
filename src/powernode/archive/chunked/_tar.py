# SPDX-License-Identifier: MIT
"""The tar header of an entry, in one spelling: POSIX.1-2001 (pax), numeric owners, one header in front where needed.

Invariants: equal entries give equal bytes; the C library writes the same ones. A pax header is there only for what
ustar cannot say: extended attributes (`SCHILY.xattr.`), names of more than 100 bytes, ids above 2097151, sizes from
8 GiB up, times before 1970 or after 2242. Its records are sorted by key.

    header(entry) + content + bytes(padding(entry.size))
"""

from __future__ import annotations

from powernode.archive._blocks import BLOCK, padding
from powernode.archive.chunked.entry import Entry, Kind

__all__ = ["END", "header", "member_name", "padding"]

END = bytes(2 * BLOCK)
_XATTR = b"SCHILY.xattr."
_TYPES = {Kind.FILE: b"0", Kind.DIRECTORY: b"5", Kind.SYMLINK: b"2"}
_NAME_SIZE = 100
_PAX_NAME = b"././@PaxHeader"


def header(entry: Entry) -> bytes:
    """All header blocks of the entry."""
    name = member_name(entry)
    records = [(_XATTR + key, value) for key, value in entry.xattrs]
    numbers = {b"gid": (entry.gid, 7), b"mtime": (entry.mtime_s, 11), b"size": (entry.size, 11), b"uid": (entry.uid, 7)}
    fields = {}
    for key, (value, digits) in numbers.items():
        fits = 0 <= value < 8**digits
        fields[key] = value if fits else 0
        if not fits:
            records.append((key, b"%d" % value))
    for key, text in ((b"path", name), (b"linkpath", entry.target)):
        if len(text) > _NAME_SIZE:
            records.append((key, text))
    block = _block(
        name,
        mode=entry.mode,
        uid=fields[b"uid"],
        gid=fields[b"gid"],
        size=fields[b"size"],
        mtime=fields[b"mtime"],
        kind=_TYPES[entry.kind],
        target=entry.target,
    )
    if not records:
        return block
    data = b"".join(_record(key, value) for key, value in sorted(records))
    extended = _block(_PAX_NAME, mode=0o644, uid=0, gid=0, size=len(data), mtime=0, kind=b"x", target=b"")
    return extended + data + bytes(padding(len(data))) + block


def member_name(entry: Entry) -> bytes:
    """The name in the archive and in the TOC: directories end in a slash, the top is `./`."""
    if entry.kind is Kind.DIRECTORY:
        return (entry.path or b".") + b"/"
    return entry.path


def _block(name: bytes, *, mode: int, uid: int, gid: int, size: int, mtime: int, kind: bytes, target: bytes) -> bytes:
    parts = (
        name[:_NAME_SIZE].ljust(_NAME_SIZE, b"\0"),
        b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, gid, size, mtime),
        b" " * 8,  # counted as spaces in the checksum
        kind,
        target[:_NAME_SIZE].ljust(_NAME_SIZE, b"\0"),
        b"ustar\x0000".ljust(8 + 32 + 32, b"\0"),
        b"0000000\x000000000\0",
    )
    block = bytearray(b"".join(parts).ljust(BLOCK, b"\0"))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`; the length counts its own digits."""
    rest = len(key) + len(value) + 3
    size = rest + len(str(rest))
    if len(str(size)) != len(str(rest)):
        size = rest + len(str(size))
    return b"%d %s=%s\n" % (size, key, value)
