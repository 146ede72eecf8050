# SPDX-License-Identifier: MIT
"""Artifacts to sign, in a layout and in a registry that is as bare as registries get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from powernode.base.errors import DataError
from powernode.module.signing_stores import LayoutStore
from powernode.oci.documents import (
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    describe,
)
from powernode.oci.layout import Layout

MODULE = "application/vnd.powernode.module.v1"
SBOM = "application/vnd.cyclonedx+json"
IN_TOTO = "application/vnd.in-toto+json"


class BareRegistry:
    """A repository without the referrers API: what has a subject is listed under the fallback tag."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.tags: dict[str, Descriptor] = {}

    def find(self, version: str) -> Descriptor | None:
        if version in self.tags:
            return self.tags[version]
        if version not in self.content:
            return None
        document = json.loads(self.content[version])
        return describe(self.content[version], document["mediaType"])

    def document(self, descriptor: Descriptor) -> bytes:
        return self.blob(descriptor, max_bytes=1 << 22)

    def blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        if descriptor.size > max_bytes:
            raise DataError("oci.blob.too-large", "too large")
        data = self.content.get(descriptor.digest)
        if data is None or describe(data, "").digest != descriptor.digest:
            raise DataError("oci.blob.digest", "not what it should be")
        return data

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        return ()

    def put(self, data: bytes, media_type: str) -> Descriptor:
        descriptor = describe(data, media_type)
        self.content[descriptor.digest] = data
        return descriptor

    def publish(self, manifest: Manifest, *, tag: str | None = None) -> Descriptor:
        descriptor = self.put(manifest.encode(), IMAGE_MANIFEST)
        if tag is not None:
            self.tags[tag] = descriptor
        if manifest.subject is not None:
            listed = describe(manifest.encode(), IMAGE_MANIFEST, artifact_type=manifest.kind)
            self._list(manifest.subject.digest.replace(":", "-"), listed)
        return descriptor

    def _list(self, tag: str, entry: Descriptor) -> None:
        old = self.tags.get(tag)
        entries = Index.parse(self.content[old.digest]).manifests if old else ()
        if entry not in entries:
            self.tags[tag] = self.put(Index(manifests=(*entries, entry)).encode(), IMAGE_INDEX)


def layout_store(folder: Path) -> tuple[LayoutStore, Layout]:
    layout = Layout.create(folder / "layout")
    return LayoutStore(layout), layout


def fill(store: LayoutStore | BareRegistry, layout: Layout | None = None) -> tuple[Descriptor, Descriptor]:
    """A module for one architecture, named v1.0.0, with an SBOM and a provenance; its index and its manifest."""
    config = store.put(b"{}", IMAGE_CONFIG)
    manifest = store.publish(Manifest(config=config, layers=(store.put(b"files", "x/y"),), artifact_type=MODULE))
    bare = Descriptor(media_type=IMAGE_MANIFEST, digest=manifest.digest, size=manifest.size)
    statement = json.dumps({"predicateType": "https://slsa.dev/provenance/v1", "predicate": {"by": "us"}}).encode()
    for kind, data in ((SBOM, b'{"bomFormat":"CycloneDX"}'), (IN_TOTO, statement)):
        about = Manifest(config=config, layers=(store.put(data, kind),), artifact_type=kind, subject=bare)
        store.publish(about)
    listed = Descriptor(
        media_type=bare.media_type, digest=bare.digest, size=bare.size, platform=Platform(architecture="amd64")
    )
    said = {"org.opencontainers.image.title": "redis", "org.opencontainers.image.version": "1.0.0"}
    index = store.put(Index(manifests=(listed,), artifact_type=MODULE, annotations=said).encode(), IMAGE_INDEX)
    if isinstance(store, BareRegistry):
        store.tags["v1.0.0"] = index
    elif layout is not None:
        layout.add(index, "v1.0.0")
    return index, manifest
