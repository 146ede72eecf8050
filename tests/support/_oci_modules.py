# SPDX-License-Identifier: MIT
"""A small module as an artifact: from a folder of files to a layout with two architectures and their documents.

made = make(tmp_path, tree)
made.layout, made.index.digest, made.module.digest
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from powernode.archive.chunked.write import Written
from powernode.module import artifact, directory, layer
from powernode.module.push import push
from powernode.module.sign import sign
from powernode.module.signing_stores import LayoutStore
from powernode.net.transport import HttpTransport
from powernode.oci.client import Registry
from powernode.oci.documents import Descriptor, Index
from powernode.oci.layout import Layout
from powernode.oci.reference import Reference
from powernode.oci.server.handler import Handler
from powernode.oci.server.listen import Listener
from powernode.oci.server.storage import Storage
from powernode.signing import keys
from powernode.signing.artifact import Signer

__all__ = ["PROVENANCE", "SBOM", "TAG", "VEX", "Made", "client", "make", "own_registry", "publish"]

TAG, TIME_S = "v0.1.0", 1_700_000_000
SBOM, VEX = "application/vnd.cyclonedx+json", "application/vnd.openvex+json"
PROVENANCE = "application/vnd.in-toto+json"
ATTACHMENTS = (
    artifact.Attachment(artifact_type=SBOM, data=b'{"bomFormat":"CycloneDX"}', title="sbom.cdx.json"),
    artifact.Attachment(artifact_type=VEX, data=b'{"statements":[]}', title="vex.openvex.json"),
    artifact.Attachment(artifact_type=PROVENANCE, data=b'{"payload":""}', title="provenance.intoto.json"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A module directory, and the artifact of it (for two architectures) in a layout."""

    module: directory.Module
    layout: Layout
    index: Descriptor
    manifests: tuple[Descriptor, ...]
    public_key: bytes
    """Of who signed index and manifests."""

    @property
    def folder(self) -> Path:
        return Path(self.layout.path)


def make(folder: Path, tree: Path, *, tag: str = TAG) -> Made:
    facts = directory.Facts(name="redis", version="0.1.0", architecture="amd64", effective_priority=500_000)
    module = directory.write(folder / "module", facts, directory.from_tree(tree))
    with (folder / "layer").open("w+b") as file:
        written = layer.write_layer(module, file)
    layout = Layout.create(folder / "layout")
    parts = [part_of(module, folder / "layer", written, arch) for arch in ("amd64", "arm64")]
    index = artifact.assemble(layout, parts, tag=tag)
    document = layout.document(index)
    assert isinstance(document, Index)
    for manifest in document.manifests:
        for attachment in ATTACHMENTS:
            layout.add(artifact.attach(layout, manifest, attachment, created_s=TIME_S))
    key = keys.new_key("ecdsa-p256")
    list(sign(LayoutStore(layout), tag, Signer(key=key), cosign_tag=True))
    public = keys.public_pem(key.public_key())
    return Made(module=module, layout=layout, index=index, manifests=document.manifests, public_key=public)


def part_of(module: directory.Module, path: Path, written: Written, arch: str) -> artifact.Part:
    return artifact.Part(
        manifest={"schema_version": 1, "name": "redis", "license": "BSD-3-Clause", "file_spec": ["/**"]},
        version="0.1.0",
        arch=arch,
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


def client(name: str) -> Registry:
    """Of the repository in `host:port/repository`, impatient."""
    transport = HttpTransport(time.monotonic)
    return Registry(transport, Reference.parse(name), sleep=lambda _: None, chance=lambda: 0.0)


@contextmanager
def own_registry(storage: Path) -> Iterator[str]:
    """Our registry on a free port: its `host:port`, as long as the block lasts."""
    handler = Handler(Storage(storage), new_id=lambda: secrets.token_hex(16), now=time.time)
    with Listener(handler, ("127.0.0.1", 0)) as listener:
        yield listener.address


def publish(made: Made, name: str, tag: str = TAG) -> None:
    """All of it to the repository, as `module push` does."""
    push(made.layout, made.index, client(name), tags=[tag])
