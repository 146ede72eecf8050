# SPDX-License-Identifier: MIT
"""Modules made of trees in memory, and blobs that tell what was read of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import pytest

from powernode import verity
from powernode.archive._zstd import Compressor, decompress
from powernode.archive.chunked import toc
from powernode.archive.chunked.entry import TocEntry
from powernode.archive.chunked.position import Part, Position, skippable
from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore, object_path
from powernode.composefs.tree import Directory, Node, RegularFile, Symlink, Xattrs
from powernode.module import directory, layer
from powernode.module.directory import Module
from unit.native._doors import through

FACTS = directory.Facts(name="m", version="1.0.0", architecture="amd64", effective_priority=500_000)
DOORS = ("pure", "cffi")
_SIZES = (0, 1, 63, 64, 65, 511, 512, 513, 4096, 5000, 70_000)
_TIMES = (0, 1, 1_700_000_000, -5, -62_135_596_800, (1 << 33) - 1, 1 << 33, 253_402_300_799)
_IDS = (0, 0, 0, 1000, (1 << 21) - 1, 1 << 21, (1 << 32) - 1)
_NAMES = (
    *("a", "b", "...", "-", "%3D", "a b", "new\nline", 'q"\\', "\x01\x7f", "é", "\U0001f600", "wh.a", ".wh"),
    *("n" * 99, "n" * 100, "n" * 101, "n" * 255, "é" * 127),
)
_XATTRS = ("user.a", "user.é", "security.capability", "security.selinux", "trusted.overlay.x", "other")


@contextmanager
def writing_through(door: str) -> Iterator[None]:
    with through(door) as library:
        if library is None:
            pytest.importorskip("zstandard", reason="no zstandard, by which layers are written without the C library")
        elif library.call("pn_zstd_version") < 0:
            pytest.skip("no libzstd.so.1 here")
        yield


def new_store(path: Path) -> ObjectStore:
    return ObjectStore.create(path, digest_fd=lambda fd: verity.digest_fd(fd).value)


def file(data: bytes, *, mode: int = 0o644, mtime_s: int = 0, xattrs: Xattrs = ()) -> RegularFile:
    """A file as a tree has it; `module_of` needs the same data for the store."""
    if len(data) <= 64:
        return RegularFile(size=len(data), content=data or None, mode=mode, mtime_s=mtime_s, xattrs=xattrs)
    digest = verity.digest_buffer(data).value
    payload = object_path(digest).encode()
    return RegularFile(size=len(data), payload=payload, digest=digest, mode=mode, mtime_s=mtime_s, xattrs=xattrs)


def module_of(path: Path, tree: Directory, *contents: bytes) -> Module:
    def fill(store: ObjectStore) -> bytes:
        with store.batch() as batch:
            for data in contents:
                batch.add_bytes(data)
        return images.from_tree(tree, min_version=1)

    return directory.write(path, FACTS, fill)


def random_module(path: Path, seed: int, *, leaves: int = 40) -> Module:
    """A tree that reaches for the edges of what a layer can say."""
    chance = random.Random(seed)
    folders: list[dict[bytes, Node]] = [{}]
    contents: list[bytes] = []
    tree = Directory(entries=folders[0], **_attributes(chance))
    for _ in range(leaves):
        entries, name = chance.choice(folders), chance.choice(_NAMES).encode()
        kind = chance.random()
        if name in entries:
            continue
        if kind < 0.2:
            folders.append({})
            entries[name] = Directory(entries=folders[-1], **_attributes(chance))
        elif kind < 0.35:
            target = chance.choice((b"t", "é".encode() * 60, b"t" * 100, b"../" * 40, b"t" * 4000))
            entries[name] = Symlink(target=target, **_attributes(chance))
        else:
            data = chance.choice((chance.randbytes, bytes))(chance.choice(_SIZES))
            contents += [data] if len(data) > 64 else []
            node = file(data)
            more = _attributes(chance)
            entries[name] = RegularFile(
                size=node.size, content=node.content, payload=node.payload, digest=node.digest, **more
            )
    return module_of(path, tree, *contents)


class _Attributes(TypedDict):
    mode: int
    uid: int
    gid: int
    mtime_s: int
    xattrs: Xattrs


def _attributes(chance: random.Random) -> _Attributes:
    names = chance.sample(_XATTRS, chance.choice((0, 0, 0, 1, 3)))
    values = (b"", b"v", b"\0\xff=\n ", b"v" * 900)
    return {
        "mode": chance.choice((0o755, 0o644, 0o4755, 0o7777, 0)),
        "uid": chance.choice(_IDS),
        "gid": chance.choice(_IDS),
        "mtime_s": chance.choice(_TIMES),
        "xattrs": tuple(sorted((name.encode(), chance.choice(values)) for name in names)),
    }


@dataclass(slots=True)
class Blob:
    """A layer in memory, and which ranges of it were asked for."""

    data: bytes
    written: layer.Written
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read_range(self, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        return self.data[start : start + length]

    def toc(self) -> layer.Toc:
        return layer.read_toc(self.read_range, self.written.annotations, blob_size=len(self.data))


def retold(
    data: bytes, annotations: Mapping[str, str], change: Callable[[TocEntry], TocEntry]
) -> tuple[bytes, dict[str, str]]:
    """The blob with another table of contents, and its annotations: all digests of tables are right again."""
    old = Position.parse(annotations, blob_size=len(data), limits=layer.Limits())
    table = toc.decode(decompress(data[old.toc.offset : old.toc.end], size=old.toc.uncompressed), limits=layer.Limits())
    split = data[old.tar_split.offset : old.tar_split.end]
    assert table.tar_split_digest is not None
    text = toc.encode([change(entry) for entry in table.entries], table.tar_split_digest)
    compressed = Compressor(3).frame(text)
    digest = f"sha256:{hashlib.sha256(compressed).hexdigest()}"
    start = old.toc.offset
    new = Position(
        toc=Part(offset=start, size=len(compressed), uncompressed=len(text), digest=digest),
        tar_split=replace(old.tar_split, offset=start + len(compressed) + 8, digest=table.tar_split_digest),
    )
    blob = data[: start - 8] + skippable(compressed) + skippable(split) + new.footer()
    return blob, {**annotations, **new.annotations()}


def written(module: Module, path: Path, *, level: int = 3, threads: int = 0) -> Blob:
    with open(path, "wb") as out:
        made = layer.write_layer(module, out, level=level, threads=threads)
    return Blob(path.read_bytes(), made)
