# SPDX-License-Identifier: MIT
"""An artifact from a layout to a registry: blobs, manifests, what is said about them, and last of all its tags.

Invariants: what is there already is not sent; nothing is named before all it needs is stored, so whoever finds the tag
finds everything, and a push that broke off can be repeated. Referrers are listed where the registry lists them or under
the fallback tag; cosign's tags in the layout go along.

Out of scope: signing (`sign`), which artifact of a layout is meant (`choose`).

    pushed = push(layout, choose(layout, "v1.0.0"), registry, tags=["v1.0.0"], jobs=4)
    pushed.digest, pushed.sent_blobs, pushed.skipped_blobs
    doubts(pushed, reference)       # ("the tag v0.9.0 is not that of version 1.0.0, …",)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Lock

from powernode.base.errors import OperatorError, PowernodeError
from powernode.module.artifact import ARTIFACT_TYPE, TITLE, VERSION
from powernode.module.expected import is_version_tag, promises_another
from powernode.module.refer import Belonging, Walk, blobs_of, cosign_tags
from powernode.module.signatures import Source, gather
from powernode.module.signing_stores import LayoutStore, RegistryStore
from powernode.oci.client import FileSource, Registry
from powernode.oci.digests import check_content, hasher_for
from powernode.oci.documents import INDEX_TYPES, MANIFEST_TYPES, REF_NAME, Descriptor, Index, Manifest, parse_document
from powernode.oci.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.oci.reference import Reference

__all__ = ["Progress", "Pushed", "choose", "doubts", "push"]

_PIECE = 1 << 20

Progress = Callable[[int, int], None]
"""Called with how many blobs are done and how many bytes of them were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """`digest` is what the tags name; `sent_bytes` are those of blobs, with what had to be sent again. `moved` are the
    tags that named something else until now, with its digest; `is_signed` says that there is a signature, by anybody.
    """

    digest: str
    document: Manifest | Index
    tags: tuple[str, ...]
    moved: Mapping[str, str]
    is_signed: bool
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
    source, walk = LayoutStore(layout), Walk(LayoutStore(layout))
    sending = _Blobs(layout, registry, mount_from, progress)
    found: list[_Found] = []
    blobs: dict[str, Descriptor] = {}
    for each in _everything(layout, walk, root):
        found.append(_Found(descriptor=each.descriptor, subject=each.subject, tag=each.tag))
        blobs |= {blob.digest: blob.with_annotations({}) for blob in blobs_of(each.document)}
    sending.push_all(list(blobs.values()), jobs)
    manifests = _Manifests(registry)
    for one in found:
        manifests.push(one, source.document(one.descriptor))
    data = source.document(root)
    for tag in tags:
        manifests.name(tag, data, root)
    return Pushed(
        digest=root.digest,
        document=parse_document(data),
        tags=tuple(tags),
        moved={tag: manifests.moved[tag] for tag in tags if tag in manifests.moved},
        is_signed=_is_signed(source, root.digest) or _is_signed(RegistryStore(registry), root.digest),
        sent_blobs=sending.sent,
        sent_bytes=sending.sent_bytes,
        mounted_blobs=sending.mounted,
        skipped_blobs=sending.skipped,
        sent_manifests=manifests.sent,
        skipped_manifests=manifests.skipped,
        referrers=sum(one.subject is not None for one in found),
    )


def doubts(pushed: Pushed, reference: Reference) -> tuple[str, ...]:
    """Why those who ask for the module by this reference will be refused, or surprised; each in one line."""
    if pushed.document.artifact_type != ARTIFACT_TYPE:
        return ()
    found = []
    name, version = (pushed.document.annotations.get(key, "") for key in (TITLE, VERSION))
    if not pushed.is_signed:
        sign = f"powernode module sign --key=FILE {reference.pinned(pushed.digest)}"
        found.append(f"nobody has signed it, so nobody can verify or pull it: `{sign}`")
    above, slash, last = reference.repository.rpartition("/")
    if last != name:
        right = f"{reference.registry}/{above}{slash}{name}"
        found.append(f"the module is {name}, the repository {last}: push it to {right}, or pull with --module={name}")
    own_tag = f"v{version}".replace("+", "_")
    for tag in pushed.tags:
        if promises_another(tag, version):
            found.append(f"the tag {tag} is not that of version {version}, and pull refuses it: push it as {own_tag}")
        if tag in pushed.moved and is_version_tag(tag):
            found.append(f"the tag {tag} named {pushed.moved[tag]} until now: give what has changed a new version")
    return tuple(found)


def _is_signed(source: Source, digest: str) -> bool:
    try:
        return bool(gather(source, digest).found)
    except PowernodeError:
        return True  # too many to look at, or nobody answers any more


def _is_ours(name: str) -> bool:
    """A name that somebody gave and no tool's way to say what a digest's signatures are."""
    return bool(name) and not name.startswith(("sha256-", "sha512-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What is kept of a Belonging until it is sent: not its bytes."""

    descriptor: Descriptor
    subject: str | None
    tag: str | None


def _everything(layout: Layout, walk: Walk, root: Descriptor) -> Iterator[Belonging]:
    """The signatures that are named by tags come last."""
    digests = []
    for each in walk.over(root):
        digests.append(each.descriptor.digest)
        yield each
    wanted = frozenset(cosign_tags(digests))
    named = [(entry.annotations.get(REF_NAME, ""), entry) for entry in layout.entries()]
    yield from walk.tagged([(name, entry) for name, entry in named if name in wanted])


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
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            running = [pool.submit(self._push, blob) for blob in blobs]
            try:
                for each in as_completed(running):
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
        with self._layout.open_unverified(blob) as file:
            checked = _Checked(file.fileno(), blob)
            self._registry.push_blob(blob, FileSource(lambda: _Told(checked, self._tell)))
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


class _Checked:
    """A blob's file, read once: its last bytes are given to nobody before the digest of everything was found right."""

    def __init__(self, fd: int, blob: Descriptor) -> None:
        self._fd = fd
        self._blob = blob
        self._hasher = hasher_for(blob.digest)
        self._hashed = 0

    def read(self, at: int, size: int) -> bytes:
        data = os.pread(self._fd, size, at)
        end = at + len(data)
        if end > self._hashed:
            self._hash_up_to(at)  # when a registry has more than it was sent
            self._hash(data[self._hashed - at :])
        if end == self._blob.size:
            check_content(self._hasher, self._blob.digest)
        return data

    def _hash_up_to(self, end: int) -> None:
        while self._hashed < end and (data := os.pread(self._fd, min(end - self._hashed, _PIECE), self._hashed)):
            self._hash(data)

    def _hash(self, data: bytes) -> None:
        self._hasher.update(data)
        self._hashed += len(data)


class _Told:
    """Reads on from where it is, and tells how much was read."""

    def __init__(self, source: _Checked, tell: Callable[[int], None]) -> None:
        self._source = source
        self._tell = tell
        self._at = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        assert whence == os.SEEK_SET
        self._at = offset
        return offset

    def read(self, size: int, /) -> bytes:
        data = self._source.read(self._at, size)
        self._at += len(data)
        self._tell(len(data))
        return data

    def close(self) -> None:
        """The file is closed by who opened it."""


class _Manifests:
    """One after the other: what others name comes first."""

    def __init__(self, registry: Registry) -> None:
        self.sent = self.skipped = 0
        self.moved: dict[str, str] = {}
        self._registry = registry
        self._listed: dict[str, frozenset[str]] = {}

    def push(self, each: _Found, data: bytes) -> None:
        digest = each.descriptor.digest
        if each.tag is not None:
            self.name(each.tag, data, each.descriptor)
            return
        if each.subject is None:
            if self._registry.has_manifest(digest):
                self.skipped += 1
            else:
                self._registry.push_manifest(data, each.descriptor.media_type)
                self.sent += 1
            return
        if each.subject not in self._listed:
            referrers = self._registry.referrers(each.subject)
            self._listed[each.subject] = frozenset(referrer.digest for referrer in referrers)
        if digest in self._listed[each.subject]:
            self.skipped += 1
        else:
            self._registry.push_referrer(data, each.descriptor, each.subject)
            self.sent += 1

    def name(self, tag: str, data: bytes, descriptor: Descriptor) -> None:
        """The tag names it; it may have named something else."""
        there = self._registry.find(tag)
        if there is not None and there.descriptor.digest == descriptor.digest:
            self.skipped += 1
        else:
            if there is not None:
                self.moved[tag] = there.descriptor.digest
            self._registry.push_manifest(data, descriptor.media_type, tag=tag)
            self.sent += 1
