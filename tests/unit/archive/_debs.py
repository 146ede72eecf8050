# SPDX-License-Identifier: MIT
"""Packages to read, good and hostile, made byte by byte: no tool would write most of them."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One tar entry; `kind` is tarfile's type."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    mode: int = 0o644


def ar(*members: tuple[str, bytes]) -> bytes:
    data = b"!<arch>\n"
    for name, content in members:
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        data += b"\n" * (len(content) % 2)
    return data


def tar(*items: Item, format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.type, info.linkname, info.mode, info.size = item.kind, item.target, item.mode, len(item.content)
            archive.addfile(info, io.BytesIO(item.content))
    return out.getvalue()


def gz(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return engine.compress(data) + engine.flush()


CONTROL = b"Package: hello\nVersion: 1:2-3\nDescription: says hello\n twice\n .\n and more\n"


def deb(*items: Item, data: bytes | None = None, data_name: str = "data.tar.xz") -> bytes:
    control = gz(tar(Item("./"), Item("./control", CONTROL)))
    if data is None:
        data = lzma.compress(tar(*items))
    return ar(("debian-binary", b"2.0\n"), ("control.tar.gz", control), (data_name, data))


def directories(*names: str) -> Sequence[Item]:
    return [Item(name, kind=tarfile.DIRTYPE, mode=0o755) for name in names]
