# SPDX-License-Identifier: MIT
"""Compress an initramfs: every component is an archive and a zstd frame of its own, one behind the other.

The kernel unpacks any number of archives in a row (buffer-format.rst). Made this way, what did not change since the
last build, nearly everything, comes from the cache, the rest is compressed side by side, and what a component weighs is
known for nothing. It costs 0.4 % of size against one frame.

Invariants: the bytes depend on the parts alone, never on the cache or the number of processors. Frames need at most
32 MiB of window; the kernel allows 128.

    packed = pack(parts, Path(".cache"))
    packed.data, packed.sizes[Component.AGENT].packed
    list(unpack(packed.data))
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import zstandard

from powernode.archive import cpio
from powernode.base.errors import DataError
from powernode.image.initramfs import AGENT_SHARE, Component, Part
from powernode.module.place import beside

__all__ = ["Packed", "Size", "pack", "unpack"]

# Measured on amd64 (28.6 MB), size of all and seconds of a core: level 9 10.57 MB 0.6 s, level 15 10.46 MB 4.5 s, level
# 17 9.97 MB 7.0 s, btultra with a wide window and a shallow search 9.68 MB 7.4 s, btopt likewise 9.88 MB 4.8 s. The
# agent's share has a budget and is worth the last one; the rest goes fast. 10.0 MB and 3.9 s together.
_TIGHT = {
    "window_log": 25,
    "chain_log": 21,
    "hash_log": 20,
    "search_log": 2,
    "min_match": 3,
    "target_length": 32,
    "strategy": zstandard.STRATEGY_BTOPT,
}
_FAST = {
    "window_log": 23,
    "chain_log": 19,
    "hash_log": 20,
    "search_log": 4,
    "min_match": 5,
    "target_length": 16,
    "strategy": zstandard.STRATEGY_LAZY2,
}
_MAX_BYTES = 1 << 30
_MAX_FRAMES = 1000
_PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Bytes of a component: its files, and its part of the result."""

    raw: int
    packed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    data: bytes
    sizes: dict[Component, Size]


def pack(parts: Iterable[Part], cache: Path) -> Packed:
    groups: dict[Component, list[cpio.Entry]] = {}
    for part in parts:
        groups.setdefault(part.component, []).append(part.entry)
    raw = {component: sum(len(entry.data) for entry in entries) for component, entries in groups.items()}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the largest first: it takes longest
        running = {
            component: pool.submit(_frame, groups[component], _settings(component), cache / "packed")
            for component in sorted(groups, key=lambda component: -raw[component])
        }
    order = sorted(groups, key=list(Component).index)
    frames = [running[component].result() for component in order]
    sizes = {
        component: Size(raw=raw[component], packed=len(frame)) for component, frame in zip(order, frames, strict=True)
    }
    return Packed(data=b"".join(frames), sizes=sizes)


def unpack(data: bytes) -> Iterator[cpio.Entry]:
    """What is in a packed initramfs, in its order; directories that several components have come several times."""
    position = total = 0
    for _ in range(_MAX_FRAMES):
        if position == len(data):
            return
        archive, position = _decompress(data, position, _MAX_BYTES - total)
        total += len(archive)
        yield from cpio.read(archive)
    raise DataError("image.initramfs.damaged", f"the initramfs has more than {_MAX_FRAMES} frames")


def _decompress(data: bytes, position: int, limit_bytes: int) -> tuple[bytes, int]:
    """One frame, and where the next begins. In small pieces: a block of four bytes may stand for 128 KiB."""
    engine = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    archive = bytearray()
    while not engine.eof:
        piece = data[position : position + _PIECE_BYTES]
        try:
            archive += engine.decompress(piece)
        except zstandard.ZstdError as error:
            raise DataError(
                "image.initramfs.damaged", "the initramfs cannot be decompressed", found=str(error)
            ) from error
        if not piece or len(archive) > limit_bytes:
            raise DataError("image.initramfs.damaged", "the initramfs ends early or is too large")
        position += len(piece) - len(engine.unused_data)
    return bytes(archive), position


def _settings(component: Component) -> dict[str, int]:
    return _TIGHT if component in AGENT_SHARE else _FAST


def _frame(entries: list[cpio.Entry], settings: dict[str, int], cache: Path) -> bytes:
    out = io.BytesIO()
    cpio.write(out, entries, mtime=0)
    archive = out.getvalue()
    key = repr((zstandard.ZSTD_VERSION, sorted(settings.items()))).encode() + archive
    place = cache / f"{hashlib.sha256(key).hexdigest()}.zst"
    if place.exists():
        return place.read_bytes()
    parameters = zstandard.ZstdCompressionParameters(**settings, write_checksum=True)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compress(archive)
    with beside(place) as work:
        (work / "frame").write_bytes(frame)
        (work / "frame").rename(place)
    return frame
