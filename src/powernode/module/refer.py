# SPDX-License-Identifier: MIT
"""What belongs to an artifact: its manifests, what they list, and everything that is said about any of them.

The walk is the same in a layout and in a registry, so push and pull carry the same things: manifests in the order in
which they can be stored (what is listed before what lists it, a subject before what is about it), and first of all the
artifact itself.

Invariants: every manifest comes once; depth, number and size are bounded, whatever refers to what. What an artifact
consists of was signed with it, what is said about it may be anybody's who can push: that has a bound of its own, and
nothing becomes of the one kind by being mentioned in the other. Sizes are counted before anything of that size is
fetched; of what was handed out only the digest is kept.

    walk = Walk(source)
    for found in walk.over(root):
        found.descriptor, found.document, found.subject
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.module.signatures import Source, fallback_tag
from powernode.oci.documents import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Index, Manifest, parse_document

__all__ = ["COSIGN_SUFFIXES", "MAX_LAYER_BYTES", "Belonging", "Walk", "blobs_of", "cosign_tags"]

COSIGN_SUFFIXES = (".sig", ".att")
"""Of the tags under which cosign keeps signatures and attestations of a digest."""

MAX_LAYER_BYTES = 32 << 30
"""Of a module's layer, as it travels."""

_MAX_MANIFESTS = 4096
_MAX_BLOBS = 16_384
_MAX_DEPTH = 8
_MAX_MANIFEST_BYTES = 64 << 20
_MAX_OWN_BYTES = 2 * MAX_LAYER_BYTES
_MAX_SAID_BYTES = 1 << 30
_HINT = "whoever may push to the repository can add some: remove what is not yours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """A manifest or index with its bytes; `subject` is the digest of what it was found to be about, if it was so."""

    descriptor: Descriptor
    data: bytes
    document: Manifest | Index
    subject: str | None
    is_said: bool
    """About the artifact, or in an index that is: no part of it."""
    tag: str | None = None
    """The tag that it is found by, where that is not the artifact's."""


def blobs_of(document: Manifest | Index) -> tuple[Descriptor, ...]:
    return () if isinstance(document, Index) else (document.config, *document.layers)


class Walk:
    """Over one artifact; the bounds are for everything that one walk hands out. Codes module.refer.*."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: set[str] = set()
        self._blobs: set[str] = set()
        self._manifest_bytes = self._own_bytes = self._said_bytes = 0

    def over(self, root: Descriptor) -> Iterator[Belonging]:
        """Everything that goes along with `root`, itself included."""
        own = []
        for each in self._listed(root, None, 0, is_said=False):
            own.append(each.descriptor.digest)
            yield each
        for digest in own:
            yield from self._about(digest, 1)

    def tagged(self, names: Sequence[tuple[str, Descriptor]]) -> Iterator[Belonging]:
        """Images that cosign's tags name; a tag that names something else is nobody's signature."""
        for tag, descriptor in names:
            if descriptor.media_type in MANIFEST_TYPES:
                data, document = self._read(descriptor, 0, is_said=True)
                yield Belonging(
                    descriptor=descriptor, data=data, document=document, subject=None, is_said=True, tag=tag
                )

    def _about(self, subject: str, depth: int) -> Iterator[Belonging]:
        """What is about it, and what is about that."""
        for referrer in self._source.referrers(subject):
            found = []
            for each in self._listed(referrer, subject, depth, is_said=True):
                found.append(each.descriptor.digest)
                yield each
            for digest in found:
                yield from self._about(digest, depth + 1)

    def _listed(self, descriptor: Descriptor, subject: str | None, depth: int, *, is_said: bool) -> Iterator[Belonging]:
        """It, and before it what it lists."""
        if descriptor.digest in self._seen or descriptor.media_type not in INDEX_TYPES | MANIFEST_TYPES:
            return
        data, document = self._read(descriptor, depth, is_said=is_said)
        if isinstance(document, Index):
            for entry in document.manifests:
                yield from self._listed(entry, None, depth + 1, is_said=is_said)
        yield Belonging(descriptor=descriptor, data=data, document=document, subject=subject, is_said=is_said)

    def _read(self, descriptor: Descriptor, depth: int, *, is_said: bool) -> tuple[bytes, Manifest | Index]:
        self._seen.add(descriptor.digest)
        if len(self._seen) > _MAX_MANIFESTS or depth > _MAX_DEPTH:
            raise _too_much("too-many", f"at most {_MAX_MANIFESTS} manifests, {_MAX_DEPTH} deep")
        self._manifest_bytes += descriptor.size
        if self._manifest_bytes > _MAX_MANIFEST_BYTES:
            raise _too_much("manifest-bytes", f"manifests of at most {_MAX_MANIFEST_BYTES} bytes in all")
        data = self._source.document(descriptor)
        document = parse_document(data, media_type=descriptor.media_type)
        for blob in blobs_of(document):
            self._count(blob, is_said=is_said)
        return data, document

    def _count(self, blob: Descriptor, *, is_said: bool) -> None:
        if blob.digest in self._blobs:
            return
        self._blobs.add(blob.digest)
        if len(self._blobs) > _MAX_BLOBS:
            raise _too_much("too-many", f"at most {_MAX_BLOBS} blobs")
        if is_said:
            self._said_bytes += blob.size
        else:
            self._own_bytes += blob.size
        if self._said_bytes > _MAX_SAID_BYTES or self._own_bytes > _MAX_OWN_BYTES:
            bounds = f"at most {_MAX_OWN_BYTES} bytes, and {_MAX_SAID_BYTES} of what is said about it"
            raise _too_much("blob-bytes", bounds)


def cosign_tags(digests: Sequence[str]) -> list[str]:
    return [fallback_tag(digest, suffix) for digest in digests for suffix in COSIGN_SUFFIXES]


def _too_much(cause: str, expected: str) -> DataError:
    return DataError(f"module.refer.{cause}", "too much belongs to the artifact", expected=expected, hint=_HINT)
