# SPDX-License-Identifier: MIT
"""Small modules and the artifacts made of them.

module = small_module(tmp_path / "m", {"etc/motd": b"hello"})
layout, descriptor = small_artifact(tmp_path / "a", module)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from powernode.module import artifact, layer
from powernode.module import directory as modules
from powernode.oci.documents import Descriptor, Index
from powernode.oci.layout import Layout

TIME_S = 1_750_000_000
RANDOM = bytes(range(256)) * 20 + os.urandom(5000)
"""Content that zstd keeps as it is, at its end."""

MANIFEST: dict[str, Any] = {"schema_version": 1, "name": "my-redis", "description": "Redis", "license": "BSD-3-Clause"}


def small_module(folder: Path, files: Mapping[str, bytes], *, arch: str = "amd64") -> modules.Module:
    tree = folder.with_name(f"{folder.name}-tree")
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
    for each in (*sorted(tree.rglob("*"), reverse=True), tree):
        os.utime(each, (TIME_S, TIME_S))
    facts = modules.Facts(name="my-redis", version="0.1.0", architecture=arch, effective_priority=1)
    return modules.write(folder, facts, modules.from_tree(tree))


def small_part(folder: Path, module: modules.Module) -> artifact.Part:
    path = folder / f"{module.facts.architecture}.tar.zst"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        written = layer.write_layer(module, file)
    return artifact.Part(
        manifest=MANIFEST,
        version=module.facts.version,
        arch=module.facts.architecture,
        composefs=module.digest,
        layer=artifact.Layer(
            path=path,
            digest=written.digest,
            size=written.size,
            diff_id=written.diff_id,
            annotations=written.annotations,
        ),
        created_s=TIME_S,
    )


def small_artifact(folder: Path, *parts: artifact.Part) -> tuple[Layout, Descriptor]:
    layout = Layout.create(folder)
    return layout, artifact.assemble(layout, parts, tag="v0.1.0")


def manifest_of(layout: Layout, index: Descriptor, arch: str = "amd64") -> Descriptor:
    document = layout.document(index)
    assert isinstance(document, Index)
    return next(e for e in document.manifests if e.platform is not None and e.platform.architecture == arch)
