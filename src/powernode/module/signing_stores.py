# SPDX-License-Identifier: MIT
"""A layout or a repository of a registry, as those who sign and verify see it.

Invariants: both give the same answers for the same artifact, so neither `sign` nor `verify` asks which it is.

Out of scope: copying between them (`push`, `pull`).

    store = LayoutStore(Layout("build/oci"))            # or RegistryStore(Registry(…))
    store.find("v1.0.0")
"""

from __future__ import annotations

from collections.abc import Sequence

from powernode.base.errors import OperatorError
from powernode.oci.documents import IMAGE_MANIFEST, MAX_DOCUMENT_BYTES, Descriptor, Manifest, describe
from powernode.oci.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.oci.client import Registry

__all__ = ["LayoutStore", "RegistryStore"]


class LayoutStore:
    """Everything in one folder; referrers are listed in its index, tags are names there."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def find(self, version: str) -> Descriptor | None:
        try:
            return self._layout.resolve(version)
        except OperatorError as error:
            if error.code != "oci.layout.no-such-name":
                raise
            return None

    def document(self, descriptor: Descriptor) -> bytes:
        return self._layout.read(descriptor, max_bytes=MAX_DOCUMENT_BYTES)

    def blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        return self._layout.read(descriptor, max_bytes=max_bytes)

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        return self._layout.referrers(digest)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        return self._layout.put(data, media_type)

    def publish(self, manifest: Manifest, *, tag: str | None = None) -> Descriptor:
        descriptor = self._layout.put(manifest.encode(), IMAGE_MANIFEST, artifact_type=manifest.artifact_type)
        self._layout.add(descriptor, tag)
        return descriptor


class RegistryStore:
    """A repository; what has a subject is listed by the registry or, if it does not list, under the fallback tag."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def find(self, version: str) -> Descriptor | None:
        fetched = self._registry.find(version)
        return None if fetched is None else fetched.descriptor

    def document(self, descriptor: Descriptor) -> bytes:
        return self._registry.manifest(descriptor).data

    def blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        return self._registry.read_blob(descriptor, max_bytes=max_bytes)

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        return self._registry.referrers(digest)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        descriptor = describe(data, media_type)
        self._registry.push_blob(descriptor, data)
        return descriptor

    def publish(self, manifest: Manifest, *, tag: str | None = None) -> Descriptor:
        data = manifest.encode()
        descriptor = describe(data, IMAGE_MANIFEST, annotations=manifest.annotations, artifact_type=manifest.kind)
        if manifest.subject is None:
            self._registry.push_manifest(data, IMAGE_MANIFEST, tag=tag)
        else:
            self._registry.push_referrer(data, descriptor, manifest.subject.digest)
        return descriptor
