# SPDX-License-Identifier: MIT
"""Artifacts in a layout or in a registry, of whose blobs parts can be read: a layer's table of contents, above all.

source = LayoutSource(Layout("build/oci"))          # or RegistrySource(Registry(…))
source.read_range(layer, start, length)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from powernode.module import signatures
from powernode.module.signing_stores import LayoutStore, RegistryStore
from powernode.oci.layout import Layout

if TYPE_CHECKING:
    from powernode.oci.client import Registry
    from powernode.oci.documents import Descriptor

__all__ = ["LayoutSource", "RegistrySource", "Source"]


class Source(signatures.Source, Protocol):
    """A layout or a repository, of which parts of blobs can be read."""

    def read_range(self, descriptor: Descriptor, start: int, length: int) -> bytes:
        """Some bytes of a blob; their digest is not checked."""


class LayoutSource(LayoutStore):
    """A layout, whose layers are files to seek in."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._blobs = layout.blobs

    def read_range(self, descriptor: Descriptor, start: int, length: int) -> bytes:
        with open(self._blobs.open(descriptor.digest, descriptor.size), "rb") as file:
            file.seek(start)
            return file.read(length)


class RegistrySource(RegistryStore):
    """A repository in a registry."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._ranges = registry

    def read_range(self, descriptor: Descriptor, start: int, length: int) -> bytes:
        return self._ranges.read_range(descriptor, start, length)
