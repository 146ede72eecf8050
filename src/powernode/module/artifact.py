# SPDX-License-Identifier: MIT
"""A module as an OCI artifact: what is written for one version, and what is read of it again (ADR 0007).

    index (artifactType ARTIFACT_TYPE)
      manifest for amd64      config: an image config whose member `module` is the module manifest
                              layer: tar in zstd:chunked form, annotated with the composefs image's digest
        <- SBOM, VEX, provenance, signatures: manifests whose `subject` it is
      manifest for arm64      …

Invariants: the same parts give the same bytes; times come from the parts, never from a clock. `read_config` refuses a
configuration that does not agree with its manifest, so name, version, architecture, layer and digest are said once.

Out of scope: whether the layer is what is said of it (`check`), who signed it (`verify`), moving it (`push`, `pull`).

    descriptor = assemble(Layout.create(path), [part], tag="v0.1.0")
    read_config(manifest, config).composefs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from powernode.base import canonical
from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.debian.lock import ARCHITECTURES
from powernode.module.subject import rfc3339
from powernode.oci.digests import check_digest
from powernode.oci.documents import (
    EMPTY,
    EMPTY_CONFIG,
    IMAGE_CONFIG,
    IMAGE_MANIFEST,
    LAYER_ZSTD,
    Descriptor,
    Index,
    Manifest,
    Platform,
)
from powernode.oci.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = [
    "ARTIFACT_TYPE",
    "COMPOSEFS",
    "Attachment",
    "Described",
    "Layer",
    "Part",
    "assemble",
    "attach",
    "read_config",
]

ARTIFACT_TYPE = "application/vnd.powernode.module.v1"
COMPOSEFS = "composefs.layer.erofs.v1.fsverity-sha256-12"
"""The annotation of a layer: the fs-verity digest (SHA-256, blocks of 2^12 bytes) of its composefs image."""

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
LICENSES = "org.opencontainers.image.licenses"
DESCRIPTION = "org.opencontainers.image.description"
CREATED = "org.opencontainers.image.created"

_ZSTD = "io.github.containers.compression.zstd"
"""Without it on an index's entries, skopeo adds it while copying, and the index gets another digest."""

_CODE = "module.artifact"
_MAX_CONFIG_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer in a file, and what its writer found on the way."""

    path: Path
    digest: str
    size: int
    diff_id: str
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A document about one architecture's manifest."""

    artifact_type: str
    data: bytes
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One architecture of a version. `manifest` is the module manifest, `created_s` its youngest file's time."""

    manifest: Mapping[str, Json]
    version: str
    arch: str
    composefs: Digest
    layer: Layer
    created_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What an artifact says of itself for one architecture; `manifest` is still to be read by `manifest.model`."""

    name: str
    version: str
    arch: str
    manifest: Json
    layer: Descriptor
    diff_id: str
    composefs: Digest


def assemble(layout: Layout, parts: Sequence[Part], *, tag: str) -> Descriptor:
    """Everything of one version into a layout; the descriptor is that of its index."""
    entries = []
    for part in sorted(parts, key=lambda part: part.arch):
        manifest = _put_part(layout, part)
        layout.add(manifest, f"{tag}-{part.arch}")  # for tools that cannot choose from an index
        entries.append(manifest.with_annotations({_ZSTD: "true"}))
    newest = max(parts, key=lambda part: part.created_s)
    index = Index(manifests=tuple(entries), artifact_type=ARTIFACT_TYPE, annotations=_annotations(newest))
    descriptor = layout.put(index.encode(), index.media_type, artifact_type=ARTIFACT_TYPE)
    layout.add(descriptor, tag)
    return descriptor


def attach(layout: Layout, subject: Descriptor, attachment: Attachment, *, created_s: int) -> Descriptor:
    """The document as a referrer of `subject`; it is the caller who lists it in the layout."""
    config = layout.put(EMPTY, EMPTY_CONFIG)
    blob = layout.put(attachment.data, attachment.artifact_type).with_annotations({TITLE: attachment.title})
    about = Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size)
    manifest = Manifest(
        config=config,
        layers=(blob,),
        artifact_type=attachment.artifact_type,
        subject=about,
        annotations={CREATED: rfc3339(created_s)},
    )
    return layout.put(manifest.encode(), IMAGE_MANIFEST, artifact_type=attachment.artifact_type)


def read_config(manifest: Manifest, config: bytes) -> Described:
    """What the manifest and its configuration say together; codes module.artifact.*."""
    if manifest.artifact_type != ARTIFACT_TYPE:
        raise DataError(
            f"{_CODE}.type",
            "this is an artifact of another kind",
            expected=ARTIFACT_TYPE,
            found=manifest.kind[:200],
            hint="is it the reference of a module?",
        )
    if len(manifest.layers) != 1 or manifest.layers[0].media_type != LAYER_ZSTD:
        found = ", ".join(layer.media_type for layer in manifest.layers[:5]) or "none"
        raise DataError(f"{_CODE}.layers", "the layers of a module", expected=f"one {LAYER_ZSTD}", found=found)
    layer = manifest.layers[0]
    what = "the configuration"
    document = canonical.decode(config, what=what, max_bytes=_MAX_CONFIG_BYTES)
    fields = Fields(document, code=_CODE, what=what)
    arch = fields.text("architecture", longest=64)
    if arch not in ARCHITECTURES:
        raise fields.refusal("architecture", what, expected=" or ".join(ARCHITECTURES), found=repr(arch))
    diff_ids = fields.fields("rootfs").texts("diff_ids", most=1)
    labels = fields.fields("config").fields("Labels")
    name, version = labels.text(TITLE, longest=128), labels.text(VERSION, longest=256)
    module = document.get("module") if isinstance(document, dict) else None
    if not isinstance(module, dict) or module.get("name") != name:
        raise fields.refusal("name", f"the module manifest in {what}", expected=f"that of {name[:100]!r}")
    for key, said in ((TITLE, name), (VERSION, version)):
        if manifest.annotations.get(key) != said:
            found = repr(manifest.annotations.get(key))[:150]
            raise fields.refusal("annotation", f"{key} of the manifest", expected=repr(said), found=found)
    return Described(
        name=name,
        version=version,
        arch=arch,
        manifest=module,
        layer=layer,
        diff_id=check_digest(diff_ids[0] if diff_ids else "", what=f"diff_ids of {what}", code=f"{_CODE}.diff-id"),
        composefs=_composefs(layer),
    )


def _composefs(layer: Descriptor) -> Digest:
    stated = layer.annotations.get(COMPOSEFS)
    if stated is None:
        raise DataError(f"{_CODE}.composefs", "the layer names no composefs image", expected=f"annotation {COMPOSEFS}")
    return Digest.parse(f"sha256:{stated}")


def _put_part(layout: Layout, part: Part) -> Descriptor:
    layer = part.layer
    with layer.path.open("rb") as file:
        stored = layout.put(file, LAYER_ZSTD)
    if (stored.digest, stored.size) != (layer.digest, layer.size):
        raise DataError(
            f"{_CODE}.layer", "the layer changed since it was written", expected=layer.digest, found=stored.digest
        )
    title = f"{part.manifest['name']}-{part.version}-{part.arch}.tar.zst"  # the file that `oras pull` makes of it
    annotated = stored.with_annotations({**layer.annotations, COMPOSEFS: part.composefs.hex, TITLE: title})
    config = canonical.encode(_config(part))
    manifest = Manifest(
        config=layout.put(config, IMAGE_CONFIG),
        layers=(annotated,),
        artifact_type=ARTIFACT_TYPE,
        annotations=_annotations(part),
    )
    platform = Platform(architecture=part.arch)
    return layout.put(manifest.encode(), IMAGE_MANIFEST, artifact_type=ARTIFACT_TYPE, platform=platform)


def _config(part: Part) -> dict[str, Json]:
    labels: dict[str, Json] = dict(_annotations(part))
    created = rfc3339(part.created_s)
    return {
        "architecture": part.arch,
        "os": "linux",
        "created": created,
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [part.layer.diff_id]},
        "history": [{"created": created, "created_by": "powernode module build"}],
        "module": dict(part.manifest),
    }


def _annotations(part: Part) -> dict[str, str]:
    said = {TITLE: part.manifest.get("name"), VERSION: part.version, CREATED: rfc3339(part.created_s)}
    said |= {DESCRIPTION: part.manifest.get("description"), LICENSES: part.manifest.get("license")}
    return {name: value for name, value in said.items() if isinstance(value, str) and value}
