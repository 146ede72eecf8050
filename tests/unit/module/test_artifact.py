# SPDX-License-Identifier: MIT
"""Assembling artifacts and reading what they say; and the check that proves from the artifact alone that it is true."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from powernode.archive.chunked.entry import TocEntry
from powernode.base.digest import Digest
from powernode.base.errors import DataError, PowernodeError
from powernode.module import artifact
from powernode.module.artifact import ARTIFACT_TYPE, COMPOSEFS, Attachment, Part, attach, read_config
from powernode.module.check import check
from powernode.oci.documents import IMAGE_CONFIG, IMAGE_MANIFEST, LAYER_ZSTD, Descriptor, Index, Manifest
from powernode.oci.layout import Layout
from unit.module._artifacts import RANDOM, manifest_of, small_artifact, small_module, small_part
from unit.module._layers import retold

FILES = {"etc/motd": b"hello\n", "usr/bin/redis": RANDOM, "usr/share/big": b"text " * 4000}
SBOM = Attachment(
    artifact_type="application/vnd.cyclonedx+json", data=b'{"bomFormat":"CycloneDX"}', title="sbom.cdx.json"
)


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return small_part(tmp_path / "layers", small_module(tmp_path / "module", FILES))


def test_what_was_assembled_is_read(part: Part, tmp_path: Path) -> None:
    layout, index = small_artifact(tmp_path / "a", part)
    document = layout.document(index)
    assert isinstance(document, Index)
    assert document.artifact_type == ARTIFACT_TYPE
    (entry,) = document.manifests
    assert entry.annotations == {"io.github.containers.compression.zstd": "true"}
    manifest = layout.document(entry)
    assert isinstance(manifest, Manifest)
    described = read_config(manifest, layout.read(manifest.config, max_bytes=1 << 20))
    assert (described.name, described.version, described.arch) == ("my-redis", "0.1.0", "amd64")
    assert described.composefs == part.composefs
    assert described.manifest == part.manifest
    assert manifest.annotations["org.opencontainers.image.licenses"] == "BSD-3-Clause"
    assert manifest.annotations["org.opencontainers.image.created"] == "2025-06-15T15:06:40Z"
    names = [e.annotations.get("org.opencontainers.image.ref.name") for e in layout.entries()]
    assert sorted(name for name in names if name) == ["v0.1.0", "v0.1.0-amd64"]


def test_a_document_is_a_referrer_and_nothing_of_the_artifact(part: Part, tmp_path: Path) -> None:
    layout, index = small_artifact(tmp_path / "a", part)
    about = manifest_of(layout, index)
    layout.add(attach(layout, about, SBOM, created_s=part.created_s))
    (sbom,) = layout.referrers(about.digest)
    assert sbom.artifact_type == SBOM.artifact_type
    manifest = layout.document(sbom)
    assert isinstance(manifest, Manifest)
    assert [layout.read(layer, max_bytes=1000) for layer in manifest.layers] == [SBOM.data]


def test_any_order_and_any_folder_give_the_same_bytes(part: Part, tmp_path: Path) -> None:
    other = small_part(tmp_path / "layers", small_module(tmp_path / "arm", FILES, arch="arm64"))
    indexes = {
        small_artifact(tmp_path / f"{n}", *parts)[1].digest for n, parts in enumerate([(part, other), (other, part)])
    }
    assert len(indexes) == 1


def test_the_check_reads_all_of_it(part: Part, tmp_path: Path) -> None:
    layout, index = small_artifact(tmp_path / "a", part)
    checked = check(layout, manifest_of(layout, index))
    assert checked.described.composefs == part.composefs
    assert (checked.objects, checked.size) == (2, sum(map(len, FILES.values())))


def test_a_layer_that_changed_meanwhile_is_not_published(part: Part, tmp_path: Path) -> None:
    with part.layer.path.open("r+b") as file:
        file.write(b"x")
    with pytest.raises(DataError) as caught:
        small_artifact(tmp_path / "a", part)
    assert caught.value.code == "module.artifact.layer"


def rewritten(layout: Layout, index: Descriptor, edit: Callable[[Any, Any], None]) -> Descriptor:
    """The manifest with another configuration or other words; all digests are right again."""
    manifest = layout.document(manifest_of(layout, index))
    assert isinstance(manifest, Manifest)
    config = json.loads(layout.read(manifest.config, max_bytes=1 << 20))
    document = json.loads(manifest.encode())
    edit(document, config)
    described = layout.put(json.dumps(config).encode(), IMAGE_CONFIG)
    document["config"] = {"mediaType": IMAGE_CONFIG, "digest": described.digest, "size": described.size}
    return layout.put(json.dumps(document).encode(), IMAGE_MANIFEST)


def other_digest(document: Any, config: Any) -> None:
    document["layers"][0]["annotations"][COMPOSEFS] = "0" * 64


DEFECTS: dict[str, tuple[str, Callable[[Any, Any], None]]] = {
    "another-kind": ("module.artifact.type", lambda document, _: document.update(artifactType="a/b")),
    "two-layers": ("module.artifact.layers", lambda document, _: document["layers"].append(document["layers"][0])),
    "gzip": ("module.artifact.layers", lambda document, _: document["layers"][0].update(mediaType="a/gzip")),
    "no-composefs": (
        "module.artifact.composefs",
        lambda document, _: document["layers"][0]["annotations"].pop(COMPOSEFS),
    ),
    "strange-architecture": ("module.artifact.architecture", lambda _, config: config.update(architecture="mips")),
    "no-module": ("module.artifact.name", lambda _, config: config.pop("module")),
    "another-name": ("module.artifact.name", lambda _, config: config["module"].update(name="nginx")),
    "two-versions": (
        "module.artifact.annotation",
        lambda document, _: document["annotations"].update({"org.opencontainers.image.version": "9.9.9"}),
    ),
    "no-diff-id": ("module.artifact.diff-id", lambda _, config: config["rootfs"].update(diff_ids=[])),
    "other-image": ("module.check.composefs-image", other_digest),
    "other-archive": (
        "module.check.diff-id",
        lambda _, config: config["rootfs"].update(diff_ids=[f"sha256:{'0' * 64}"]),
    ),
    "other-toc": (
        "module.layer.toc-digest",
        lambda document, _: document["layers"][0]["annotations"].update(
            {"io.github.containers.zstd-chunked.manifest-checksum": f"sha256:{'0' * 64}"}
        ),
    ),
    "unknown-key": ("manifest.unknown-key", lambda _, config: config["module"].update(surprise=1)),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_artifacts_that_contradict_themselves(part: Part, tmp_path: Path, defect: str) -> None:
    code, edit = DEFECTS[defect]
    layout, index = small_artifact(tmp_path / "a", part)
    with pytest.raises(PowernodeError) as caught:
        check(layout, rewritten(layout, index, edit))
    assert caught.value.code == code


def test_contents_that_are_not_those_of_the_table(part: Part, tmp_path: Path) -> None:
    """One byte of a file, in a frame that stays well-formed, with the blob's and the archive's digests made right."""
    layer = bytearray(part.layer.path.read_bytes())
    layer[layer.index(RANDOM[-100:]) + 50] ^= 1
    layout, index = small_artifact(tmp_path / "a", part)
    blob = layout.put(bytes(layer), LAYER_ZSTD)

    def edit(document: Any, config: Any) -> None:
        document["layers"][0] |= {"digest": blob.digest, "size": blob.size}

    with pytest.raises(DataError) as caught:
        check(layout, rewritten(layout, index, edit))
    assert caught.value.code == "module.check.diff-id"

    def edit_all(document: Any, config: Any) -> None:
        edit(document, config)
        config["rootfs"]["diff_ids"] = [caught.value.found]

    with pytest.raises(DataError) as deeper:
        check(layout, rewritten(layout, index, edit_all))
    assert deeper.value.code == "module.check.composefs-image"
    assert "archive" in deeper.value.message


@pytest.mark.parametrize("what", ["digest", "end_offset"])
def test_a_table_that_points_elsewhere(part: Part, tmp_path: Path, what: str) -> None:
    """Archive and image are right, and so is the tree of the table; but who fetches by it gets something else."""

    def change(entry: TocEntry) -> TocEntry:
        if entry.path != b"usr/bin/redis":
            return entry
        if what == "digest":
            return dataclasses.replace(entry, digest=bytes(32))
        return dataclasses.replace(entry, end_offset=entry.end_offset - 3)

    data, annotations = retold(part.layer.path.read_bytes(), part.layer.annotations, change)
    layout, index = small_artifact(tmp_path / "a", part)
    blob = layout.put(data, LAYER_ZSTD)

    def edit(document: Any, config: Any) -> None:
        document["layers"][0] |= {"digest": blob.digest, "size": blob.size}
        document["layers"][0]["annotations"] |= annotations

    with pytest.raises(DataError) as caught:
        check(layout, rewritten(layout, index, edit))
    assert caught.value.code == "module.check.content"


def test_a_layer_of_another_module(part: Part, tmp_path: Path) -> None:
    other = dataclasses.replace(part, composefs=Digest.parse(f"sha256:{'1' * 64}"))
    layout, index = small_artifact(tmp_path / "a", other)
    with pytest.raises(DataError) as caught:
        check(layout, manifest_of(layout, index))
    assert caught.value.code == "module.check.composefs-image"
    assert artifact.TITLE in layout.document(manifest_of(layout, index)).annotations
