# SPDX-License-Identifier: MIT
"""The objects of a layer in a registry into a store: by the ranges that are missing, or all in one stream.

Invariants: nothing is stored before the composefs image made from the layer's table of contents has the digest that the
artifact states; of a long range no more than a piece is in memory; a layer that comes as a whole is checked by its
digest before it is used; what a shared store has already, or an old directory, is measured before it counts.

    fetching = Fetching(registry, described, progress, spool=work, jobs=4)
    image = fetching.fill(store, old, is_shared=False)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from powernode import verity
from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore, object_path
from powernode.module import directory as modules
from powernode.module import layer as layers
from powernode.module._held import changed, sizes_of
from powernode.module.artifact import Described
from powernode.oci.blobs import on_this_machine
from powernode.oci.client import Registry

__all__ = ["Fetching", "Progress"]

_WHOLE_FROM = 0.5
"""From this share of the layer on, one stream is better than many ranges."""

Progress = Callable[[int, int], None]
"""Called with how many objects or blobs are done and how many bytes of them were read."""


class Fetching:
    """A layer's objects into a store, by ranges or as a whole."""

    def __init__(
        self, registry: Registry, described: Described, progress: Progress | None, *, spool: Path, jobs: int
    ) -> None:
        self.objects = self.fetched = self.layer_bytes = self._done = 0
        self._registry = registry
        self._layer = described.layer
        self._expected = described.composefs
        self._progress = progress
        self._spool = spool / "layer"
        self._jobs = jobs
        self._lock = Lock()

    def fill(self, store: ObjectStore, old: Path, *, is_shared: bool) -> bytes:
        """Puts everything into the store and returns the image; what `old` has is not fetched again."""
        toc = self._toc()
        tree = layers.tree_of(toc)
        image = images.from_tree(tree, min_version=modules.MIN_VERSION)
        if images.digest(image) != self._expected:
            raise DataError(
                "module.pull.composefs",
                "the layer is not that of the composefs image which the artifact names",
                expected=str(self._expected),
                found=str(images.digest(image)),
                hint="do not use it",
            )
        wanted = sizes_of(tree)
        self.objects = len(wanted)
        absent = store.missing(wanted)
        if is_shared:
            _require_intact(store, wanted.keys() - set(absent))
        _reuse(store, old, absent)
        ranges = layers.missing(toc, store)
        self.fetched = sum(len(part.files) for part in ranges)
        if ranges:
            _require_space(store, ranges)
            if not self._spool.exists() and sum(part.length for part in ranges) > self._layer.size * _WHOLE_FROM:
                self._fetch_whole()
            self._fetch(ranges, store)
        return image

    def _toc(self) -> layers.Toc:
        try:
            return layers.read_toc(self._read, self._layer.annotations, blob_size=self._layer.size)
        except PowernodeError as error:
            if error.code != "oci.range.unsupported":
                raise
        self._fetch_whole()
        return layers.read_toc(self._read, self._layer.annotations, blob_size=self._layer.size)

    def _fetch(self, ranges: Sequence[layers.Range], store: ObjectStore) -> None:
        def fetch(part: layers.Range) -> None:
            layers.fetch_missing([part], self._read, batch)
            self.count(0, files=len(part.files))

        with store.batch() as batch, ThreadPoolExecutor(self._jobs) as pool:
            running = [pool.submit(fetch, part) for part in ranges]
            try:
                for each in as_completed(running):
                    each.result()
            finally:
                for each in running:
                    each.cancel()

    def _read(self, start: int, length: int) -> bytes:
        if self._spool.exists():
            with self._spool.open("rb") as file:
                file.seek(start)
                return file.read(length)
        data = self._registry.read_range(self._layer, start, length)
        self.count(length)
        return data

    def _fetch_whole(self) -> None:
        part = self._spool.with_suffix(".part")
        with on_this_machine("write", str(part)), part.open("xb") as sink:
            self._registry.fetch_blob(self._layer, _Counted(to=sink.write, count=self.count))
            part.rename(self._spool)

    def count(self, size: int, *, files: int = 0) -> None:
        with self._lock:
            self.layer_bytes += size
            self._done += files
            if self._progress is not None:
                self._progress(self._done, self.layer_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    to: Callable[[bytes], object]
    count: Callable[[int], None]

    def write(self, data: bytes, /) -> None:
        self.to(data)
        self.count(len(data))


def _require_space(store: ObjectStore, ranges: Sequence[layers.Range]) -> None:
    """Rather than find out at the end of a long transfer."""
    about = os.statvfs(store.path)
    needed, free = sum(file.size for part in ranges for file in part.files), about.f_bavail * about.f_frsize
    if needed > free:
        raise MachineError(
            "module.pull.no-space",
            f"there is too little space for the module's objects in {store.path}",
            expected=f"{needed} bytes",
            found=f"{free} bytes",
            hint="free some space; nothing was fetched",
        )


def _require_intact(store: ObjectStore, present: AbstractSet[bytes]) -> None:
    """Others use the store: nothing that is in it is replaced behind their backs."""
    damaged = changed(Path(store.path), sorted(present))
    if damaged:
        raise DataError(
            "module.pull.store-damaged",
            f"{len(damaged)} objects in {store.path} are not what they are called",
            found=object_path(damaged[0]),
            hint=f"`powernode composefs fsck --repair {store.path}` sets them aside; then pull again",
        )


def _reuse(store: ObjectStore, old: Path, wanted: Sequence[bytes]) -> None:
    """Take over the objects that are in `old` and still are what they are called."""
    with store.batch() as batch:
        for digest in wanted:
            with suppress(FileNotFoundError, NotADirectoryError), (old / object_path(digest)).open("rb") as file:
                if verity.digest_fd(file.fileno()).value == digest:
                    batch.add_fd(file.fileno(), digest, recompute=False)
