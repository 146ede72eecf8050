# SPDX-License-Identifier: MIT
"""Proof, from the artifact alone, that a module's layer, its composefs image and its digests agree.

Invariants: returns only if all of it was read: the layer's digest and its diff_id, the table of contents and its
digest, the same tree in the table and in the archive, every content's fs-verity digest, there and at the place that the
table names, the annotated digest of the composefs image, and a manifest that a node accepts. Nothing is written
anywhere.

Out of scope: who signed it (`verify`).

    checked = check(layout, manifest_descriptor)
    checked.described.composefs, checked.files
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from powernode import verity
from powernode.archive._zstd import Decompressed
from powernode.archive.chunked.entry import TocEntry
from powernode.base.errors import DataError
from powernode.composefs import image as images
from powernode.manifest.model import from_document
from powernode.module import layer as layers
from powernode.module._layer_fetch import Stream
from powernode.module.artifact import Described, read_config
from powernode.module.directory import MIN_VERSION
from powernode.oci.documents import MAX_DOCUMENT_BYTES, Descriptor, Manifest
from powernode.oci.layout import Layout

__all__ = ["Checked", "check"]

_CODE = "module.check"
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was proven. `size` is of the contents."""

    described: Described
    entries: int
    objects: int
    size: int


def check(layout: Layout, descriptor: Descriptor) -> Checked:
    """One architecture's manifest; codes module.check.*, module.artifact.*, module.layer.*, oci.*."""
    manifest = Manifest.parse(layout.read(descriptor, max_bytes=MAX_DOCUMENT_BYTES))
    described = read_config(manifest, layout.read(manifest.config, max_bytes=MAX_DOCUMENT_BYTES))
    from_document(described.manifest)
    layer = described.layer
    with layout.open_verified(layer) as file:

        def read_range(start: int, length: int) -> bytes:
            file.seek(start)
            return file.read(length)

        toc = layers.read_toc(read_range, layer.annotations, blob_size=layer.size)
        _same("composefs image", str(described.composefs), str(layers.composefs_digest(toc)), "table of contents")
        file.seek(0)
        archive = hashlib.sha256()
        tree = layers.read_layer(file, None, diff_id=archive)
        _same("diff_id", described.diff_id, f"sha256:{archive.hexdigest()}", "archive")
        image = images.from_tree(tree, min_version=MIN_VERSION)
        _same("composefs image", str(described.composefs), str(images.digest(image)), "archive")
        for entry in toc.entries:
            if entry.size:
                _follow(entry, Stream(read_range, entry.offset, entry.end_offset - entry.offset))
    return Checked(
        described=described,
        entries=len(toc.entries),
        objects=len(images.objects(image)),
        size=sum(entry.size for entry in toc.entries),
    )


def _follow(entry: TocEntry, frames: Stream) -> None:
    """What fetches parts of a layer reads from there: a node compares with one digest, podman with the other."""
    content, left = Decompressed(frames), entry.size
    sha256, fs_verity = hashlib.sha256(), verity.Hasher()
    trouble: DataError | None = None
    try:
        while left >= 0 and (data := content.read(_PIECE)):
            sha256.update(data)
            fs_verity.update(data)
            left -= len(data)
    except DataError as error:
        trouble = error
    found = fs_verity.digest().value if entry.verity is not None else None
    if trouble or left or sha256.digest() != entry.digest or found != entry.verity:
        raise DataError(
            f"{_CODE}.content",
            f"what the table of contents points to is not the content of {entry.path!r}",
            expected=f"{entry.size} bytes with the digests of the table",
            found=trouble.message if trouble else f"sha256:{sha256.hexdigest()}",
            hint="do not use it; build or fetch it again",
        ) from trouble


def _same(what: str, stated: str, found: str, where: str) -> None:
    if stated != found:
        raise DataError(
            f"{_CODE}.{what.replace(' ', '-').replace('_', '-')}",
            f"the {what} of the {where} is not the one the artifact names",
            expected=stated,
            found=found,
            hint="do not use it; build or fetch it again",
        )
