# SPDX-License-Identifier: MIT
"""Gather what may be signatures of an artifact, from the three places where tools put them.

* referrers: manifests whose `subject` it is, by the registry's list or, in a layout, by its index (OCI 1.1);
* the fallback tag `sha256-HEX`, an index that stands in for that list where a registry has none;
* cosign's tags `sha256-HEX.sig` and `sha256-HEX.att`, images whose layers are signatures.

Invariants: nothing that is found is believed; it is bounded in number and size, so a registry (or whoever may push
there) can make us refuse but not run out of memory. Something that cannot be read hides nothing else: it is listed in
`unreadable`. That the store itself fails is an error and never an absence.

Out of scope: which of them count (`trust.artifact`); how a store is reached (`signing_stores`).

    gathered = gather(store, "sha256:…")
    trust.artifact.verify("sha256:…", gathered.found, policy, now=now)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from powernode.base.errors import DataError
from powernode.oci import protocol
from powernode.oci.documents import (
    EMPTY_CONFIG,
    IMAGE_CONFIG,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Index,
    Manifest,
    parse_document,
)
from powernode.trust.artifact import MAX_FOUND, Found
from powernode.wire import intoto

__all__ = ["Gathered", "Source", "fallback_tag", "gather", "listed", "read_document"]

_KINDS = ("application/vnd.dev.sigstore.bundle", "application/vnd.dev.cosign.", "application/vnd.dsse.envelope.")
# Writers of the fallback tag that are older than `artifactType` put the type of the configuration in its place.
_UNSAID = (None, "", EMPTY_CONFIG, IMAGE_CONFIG)

_TOO_MANY = "module.signatures.too-many"
_MAX_MANIFESTS = 64
_MAX_PAYLOAD = 16 << 20
_MAX_TOTAL = 64 << 20


class Source(Protocol):
    """Where artifacts are: a layout or a repository of a registry."""

    def find(self, version: str) -> Descriptor | None:
        """The manifest or index with this tag or digest."""

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or index; its digest is checked."""

    def blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        """Any other content; its digest is checked."""

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        """What says that it is about this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    found: tuple[Found, ...]
    unreadable: tuple[str, ...]
    """For people: what was there and could not be read, and why."""


def fallback_tag(digest: str, suffix: str = "") -> str:
    """The tag for what is about `digest` in a registry that lists no referrers; cosign's with its suffix."""
    return f"{protocol.fallback_tag(digest)}{suffix}"


def read_document(source: Source, descriptor: Descriptor) -> Manifest | Index:
    return parse_document(source.document(descriptor), media_type=descriptor.media_type)


def listed(source: Source, digest: str) -> Iterator[tuple[Descriptor, str]]:
    """What says that it is about `digest`, and where that is said: the referrers, then the fallback tag."""
    for descriptor in source.referrers(digest):
        yield descriptor, "referrer"
    tag = fallback_tag(digest)
    index = source.find(tag)
    if index is not None and index.media_type in INDEX_TYPES:
        document = read_document(source, index)
        for descriptor in document.manifests if isinstance(document, Index) else ():
            yield descriptor, f"tag {_short(tag)}"


def gather(source: Source, digest: str) -> Gathered:
    """Everything that may be a signature of `digest`; code module.signatures.too-many."""
    collector = _Collector(source)
    try:
        for descriptor, where in listed(source, digest):
            collector.take_referrer(descriptor, where)
    except DataError as error:
        if error.code == _TOO_MANY:
            raise
        collector.unreadable.append(f"the list of referrers: {error}")
    for suffix in (".sig", ".att"):
        image = source.find(fallback_tag(digest, suffix))
        if image is not None:
            collector.take(image, f"tag {_short(fallback_tag(digest))}{suffix}")
    return Gathered(found=tuple(collector.found), unreadable=tuple(collector.unreadable))


class _Collector:
    def __init__(self, source: Source) -> None:
        self.found: list[Found] = []
        self.unreadable: list[str] = []
        self._source = source
        self._seen: set[str] = set()
        self._bytes = 0

    def take_referrer(self, descriptor: Descriptor, where: str) -> None:
        """Nothing is fetched of what says that it is something else, as SBOMs do."""
        kind = descriptor.artifact_type
        if kind in _UNSAID or kind == intoto.PAYLOAD_TYPE or (kind or "").startswith(_KINDS):
            self.take(descriptor, f"{where} {_short(descriptor.digest)}")

    def take(self, descriptor: Descriptor, where: str) -> None:
        if descriptor.digest in self._seen or descriptor.media_type not in MANIFEST_TYPES:
            return
        self._seen.add(descriptor.digest)
        if len(self._seen) > _MAX_MANIFESTS:
            raise _too_many(f"at most {_MAX_MANIFESTS} manifests with signatures")
        try:
            manifest = read_document(self._source, descriptor)
            layers = manifest.layers if isinstance(manifest, Manifest) else ()
            if len(layers) > MAX_FOUND:
                raise _too_many(f"at most {MAX_FOUND} signatures")
            for number, layer in enumerate(layers):
                self._take_layer(layer, where if len(layers) == 1 else f"{where}, layer {number}")
        except DataError as error:
            if error.code == _TOO_MANY:
                raise
            self.unreadable.append(f"{where}: {error}")

    def _take_layer(self, layer: Descriptor, where: str) -> None:
        if Found.in_layer(layer.media_type, where=where, payload=b"", annotations={}) is None:
            return
        self._bytes += layer.size
        if self._bytes > _MAX_TOTAL or len(self.found) == MAX_FOUND:
            raise _too_many(f"at most {MAX_FOUND} signatures with {_MAX_TOTAL} bytes in all")
        payload = self._source.blob(layer, max_bytes=_MAX_PAYLOAD)
        found = Found.in_layer(layer.media_type, where=where, payload=payload, annotations=layer.annotations)
        if found is not None:
            self.found.append(found)


def _too_many(expected: str) -> DataError:
    return DataError(
        _TOO_MANY,
        "there are too many signatures to look at",
        expected=expected,
        hint="whoever may push to the repository can add some: remove what is not yours",
    )


def _short(name: str) -> str:
    """Enough of a digest to find it."""
    algorithm, separator, digits = name.partition(":") if ":" in name else name.partition("-")
    return f"{algorithm}{separator}{digits[:12]}"
