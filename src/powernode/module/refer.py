# SPDX-License-Identifier: MIT
"""What belongs to an artifact: its manifests, what they list, and everything that is said about any of them.

The walk is the same in a layout and in a registry, so push and pull carry the same things: manifests in the order in
which they can be stored (what is listed before what lists it, a subject before what is about it).

Invariants: every manifest comes once; depth and number are bounded, whatever refers to what.

    for found in belongings(source, root):
        found.descriptor, found.document, found.subject
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.module.signatures import Source
from powernode.oci.documents import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Index, Manifest, parse_document

__all__ = ["COSIGN_SUFFIXES", "Belonging", "belongings", "blobs_of"]

COSIGN_SUFFIXES = (".sig", ".att")
"""Of the tags under which cosign keeps signatures and attestations of a digest."""

_MAX_MANIFESTS = 4096
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """A manifest or index with its bytes; `subject` is the digest of what it was found to be about, if it was so."""

    descriptor: Descriptor
    data: bytes
    document: Manifest | Index
    subject: str | None
    tag: str | None = None
    """The tag that it is found by, where that is not the artifact's."""


def belongings(source: Source, root: Descriptor, *, only: frozenset[str] | None = None) -> Iterator[Belonging]:
    """Everything that goes along with `root`, itself included. `only` these digests of an index's entries are taken."""
    return _Walk(source, only).over(root, None, 0)


def blobs_of(document: Manifest | Index) -> tuple[Descriptor, ...]:
    return () if isinstance(document, Index) else (document.config, *document.layers)


class _Walk:
    def __init__(self, source: Source, only: frozenset[str] | None) -> None:
        self._source = source
        self._only = only
        self._seen: set[str] = set()

    def over(self, descriptor: Descriptor, subject: str | None, depth: int) -> Iterator[Belonging]:
        if descriptor.digest in self._seen or descriptor.media_type not in INDEX_TYPES | MANIFEST_TYPES:
            return
        self._seen.add(descriptor.digest)
        if len(self._seen) > _MAX_MANIFESTS or depth > _MAX_DEPTH:
            raise DataError(
                "module.refer.too-many",
                "too much belongs to the artifact",
                expected=f"at most {_MAX_MANIFESTS} manifests, {_MAX_DEPTH} deep",
                hint="whoever may push to the repository can add some: remove what is not yours",
            )
        data = self._source.document(descriptor)
        document = parse_document(data, media_type=descriptor.media_type)
        if isinstance(document, Index):
            for entry in document.manifests:
                if self._only is None or entry.digest in self._only:
                    yield from self.over(entry, None, depth + 1)
        yield Belonging(descriptor=descriptor, data=data, document=document, subject=subject)
        for referrer in self._source.referrers(descriptor.digest):
            yield from self.over(referrer, descriptor.digest, depth + 1)
