# SPDX-License-Identifier: MIT
"""An artifact from a layout to a registry: blobs, manifests, what is said about them, and last of all its tags.

Invariants: what is there already is not sent; nothing is named before all it needs is stored, so whoever finds the tag
finds everything, and a push that broke off can be repeated. Referrers are listed where the registry lists them or under
the fallback tag; cosign's tags in the layout go along.

Out of scope: signing (`sign`), which artifact of a layout is meant (`choose`).

    pushed = push(layout, choose(layout, "v1.0.0"), registry, tags=["v1.0.0"], jobs=4)
    pushed.digest, pushed.sent_blobs, pushed.skipped_blobs
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock

from powernode.base.errors import OperatorError
from powernode.module.refer import COSIGN_SUFFIXES, Belonging, belongings, blobs_of
from powernode.module.signatures import fallback_tag
from powernode.module.signing_stores import LayoutStore
from powernode.oci.client import FileSource, Registry
from powernode.oci.documents import INDEX_TYPES, MANIFEST_TYPES, REF_NAME, Descriptor
from powernode.oci.layout import Layout

__all__ = ["Progress", "Pushed", "choose", "push"]

Progress = Callable[[int, int], None]
"""Called with how many blobs are done and how many bytes of them were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """`digest` is what the tags name; `sent_bytes` are those of blobs, with what had to be sent again."""

    digest: str
    tags: tuple[str, ...]
    sent_blobs: int
    sent_bytes: int
    mounted_blobs: int
    skipped_blobs: int
    sent_manifests: int
    skipped_manifests: int
    referrers: int


def choose(layout: Layout, name: str | None) -> Descriptor:
    """The artifact with this name or digest, or the only one with a name; an index rather than its architectures."""
    if name is not None:
        return layout.resolve(name)
    named = [entry for entry in layout.entries() if _is_ours(entry.annotations.get(REF_NAME, ""))]
    indexes = [entry for entry in named if entry.media_type in INDEX_TYPES]
    candidates = indexes or [entry for entry in named if entry.media_type in MANIFEST_TYPES]
    if len({entry.digest for entry in candidates}) != 1:
        names = ", ".join(sorted(entry.annotations[REF_NAME] for entry in candidates))
        raise OperatorError(
            "module.push.which", f"which artifact of {layout.path}?", expected=names or "one with a name"
        )
    return candidates[0]


def push(
    layout: Layout,
    root: Descriptor,
    registry: Registry,
    *,
    tags: Sequence[str],
    jobs: int = 4,
    mount_from: Sequence[str] = (),
    progress: Progress | None = None,
) -> Pushed:
    """`mount_from` are repositories of the same registry that may have some of the blobs."""
    source = LayoutStore(layout)
    found = list(belongings(source, root))
    signatures = list(_cosign_tags(layout, source, [each.descriptor.digest for each in found]))
    everything = [*found, *signatures]
    sending = _Blobs(layout, registry, mount_from, progress)
    sending.push_all([blob for each in everything for blob in blobs_of(each.document)], jobs)
    manifests = _Manifests(registry)
    for each in found:
        manifests.push(each)
    for each in signatures:
        manifests.name(each.tag or "", each.data, each.descriptor)
    data = next(each.data for each in found if each.descriptor.digest == root.digest)
    for tag in tags:
        manifests.name(tag, data, root)
    return Pushed(
        digest=root.digest,
        tags=tuple(tags),
        sent_blobs=sending.sent,
        sent_bytes=sending.sent_bytes,
        mounted_blobs=sending.mounted,
        skipped_blobs=sending.skipped,
        sent_manifests=manifests.sent,
        skipped_manifests=manifests.skipped,
        referrers=sum(each.subject is not None for each in found),
    )


def _is_ours(name: str) -> bool:
    """A name that somebody gave and no tool's way to say what a digest's signatures are."""
    return bool(name) and not name.startswith(("sha256-", "sha512-"))


def _cosign_tags(layout: Layout, source: LayoutStore, digests: Sequence[str]) -> Iterator[Belonging]:
    wanted = {fallback_tag(digest, suffix) for digest in digests for suffix in COSIGN_SUFFIXES}
    for entry in layout.entries():
        tag = entry.annotations.get(REF_NAME, "")
        if tag in wanted:
            for each in belongings(source, entry):
                if each.descriptor.digest == entry.digest:
                    yield replace(each, tag=tag)


class _Blobs:
    """Blobs side by side; the first that fails ends it."""

    def __init__(
        self, layout: Layout, registry: Registry, mount_from: Sequence[str], progress: Progress | None
    ) -> None:
        self.sent = self.sent_bytes = self.mounted = self.skipped = 0
        self._layout = layout
        self._registry = registry
        self._mount_from = mount_from
        self._progress = progress
        self._lock = Lock()

    def push_all(self, blobs: Sequence[Descriptor], jobs: int) -> None:
        distinct = {blob.digest: blob for blob in blobs}
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            running = [pool.submit(self._push, blob) for blob in distinct.values()]
            try:
                for each in running:
                    each.result()
            finally:
                for each in running:
                    each.cancel()

    def _push(self, blob: Descriptor) -> None:
        if self._registry.has_blob(blob):
            self._count(skipped=1)
            return
        for repository in self._mount_from:
            if self._registry.mount_blob(blob, repository):
                self._count(mounted=1)
                return
        with self._layout.open_verified(blob) as file:
            self._registry.push_blob(blob, FileSource(lambda: _Told(os.dup(file.fileno()), self._tell)))
        self._count(sent=1)

    def _tell(self, size: int) -> None:
        self._count(size=size)

    def _count(self, *, sent: int = 0, mounted: int = 0, skipped: int = 0, size: int = 0) -> None:
        with self._lock:
            self.sent += sent
            self.mounted += mounted
            self.skipped += skipped
            self.sent_bytes += size
            if self._progress is not None:
                self._progress(self.sent + self.mounted + self.skipped, self.sent_bytes)


class _Told(io.FileIO):
    """Tells how much of it was read."""

    def __init__(self, fd: int, tell: Callable[[int], None]) -> None:
        super().__init__(fd, "rb")
        self._tell = tell

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        self._tell(len(data))
        return data


class _Manifests:
    """One after the other: what others name comes first."""

    def __init__(self, registry: Registry) -> None:
        self.sent = self.skipped = 0
        self._registry = registry
        self._listed: dict[str, frozenset[str]] = {}

    def push(self, each: Belonging) -> None:
        digest = each.descriptor.digest
        if each.subject is None:
            if self._registry.has_manifest(digest):
                self.skipped += 1
            else:
                self._registry.push_manifest(each.data, each.descriptor.media_type)
                self.sent += 1
            return
        if each.subject not in self._listed:
            referrers = self._registry.referrers(each.subject)
            self._listed[each.subject] = frozenset(referrer.digest for referrer in referrers)
        if digest in self._listed[each.subject]:
            self.skipped += 1
        else:
            self._registry.push_referrer(each.data, each.descriptor, each.subject)
            self.sent += 1

    def name(self, tag: str, data: bytes, descriptor: Descriptor) -> None:
        """The tag names it; it may have named something else."""
        there = self._registry.find(tag)
        if there is not None and there.descriptor.digest == descriptor.digest:
            self.skipped += 1
        else:
            self._registry.push_manifest(data, descriptor.media_type, tag=tag)
            self.sent += 1
