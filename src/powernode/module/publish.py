# SPDX-License-Identifier: MIT
"""The last stage of a build: the OCI layout of a version, and what is said about each of its manifests.

SBOM and provenance name the manifest they are about by its digest, so they are made when the manifests are there, and
attached to them; so is VEX, where advisories were given and name a package of it.

Invariants: the same builds give the same bytes. Advisories come from a folder; nothing is fetched.

Out of scope: signatures (`sign`), registries (`push`).

    published = publish(Path("build/oci"), [built], manifest, tag="v0.1.0", saying=Saying(builder="urn:…"))
    published.index.digest
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from powernode.base.digest import Digest
from powernode.base.errors import InternalError
from powernode.composefs.tree import RegularFile, Symlink, walk
from powernode.debian.lock import LockedPackage
from powernode.manifest.model import ModuleManifest, to_document
from powernode.module import artifact, provenance, sbom, vex
from powernode.module.compose import Composed
from powernode.module.feed import Feed, read_feed
from powernode.module.layer import Written
from powernode.module.subject import Subject
from powernode.oci.documents import MAX_DOCUMENT_BYTES, Descriptor, Index
from powernode.oci.layout import Layout

__all__ = ["Built", "Published", "Saying", "publish"]

_SOURCE_URI = "urn:powernode:module-source:rootfs"
_CONTAINERFILE_URI = "urn:powernode:module-source:containerfile"
_TREE_DIGEST = "powernodeTree"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """One architecture when it has been packed. `packages` are those that were installed from the lock; `files` are the
    digests of what was laid on top, by folder; `containerfile` is that of what made the tree where packages did not."""

    arch: str
    version: str
    options: tuple[str, ...]
    composed: Composed
    layer: Path
    written: Written
    packages: tuple[LockedPackage, ...]
    files: Mapping[str, str]
    containerfile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """Who builds (a URI), the digest of the manifest as it was written, and where advisories are."""

    builder: str
    manifest: Digest
    advisories: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """`manifests` by architecture."""

    index: Descriptor
    manifests: Mapping[str, Descriptor]


def publish(folder: Path, builds: Sequence[Built], manifest: ModuleManifest, *, tag: str, saying: Saying) -> Published:
    """Everything of one version into a new layout."""
    layout = Layout.create(folder)
    index = artifact.assemble(layout, [_part(built, manifest) for built in builds], tag=tag)
    entries = Index.parse(layout.read(index, max_bytes=MAX_DOCUMENT_BYTES)).manifests
    manifests = {entry.platform.architecture: entry for entry in entries if entry.platform is not None}
    if manifests.keys() != {built.arch for built in builds}:
        raise InternalError("module.publish.index", "the index does not list what was built")
    feed = None
    if saying.advisories is not None:
        sources = {package.source for built in builds for package in built.composed.packages}
        feed = read_feed(saying.advisories, sources=sources, suite=manifest.build.suite)
    for built in sorted(builds, key=lambda built: built.arch):
        about = manifests[built.arch]
        for attachment in _documents(built, manifest, Digest.parse(about.digest), saying, feed):
            layout.add(artifact.attach(layout, about, attachment, created_s=built.composed.latest_s))
    return Published(index=index, manifests=manifests)


def _part(built: Built, manifest: ModuleManifest) -> artifact.Part:
    written, facts = built.written, built.composed.module.facts
    # A file_spec that was left out is written out: whoever merges the module has its files, but not its packages.
    document = to_document(replace(manifest, file_spec=facts.file_spec))
    assert isinstance(document, dict)
    return artifact.Part(
        manifest=document,
        version=built.version,
        arch=built.arch,
        composefs=built.composed.module.digest,
        layer=artifact.Layer(
            path=built.layer,
            digest=written.digest,
            size=written.size,
            diff_id=written.diff_id,
            annotations=written.annotations,
        ),
        created_s=built.composed.latest_s,
    )


def _documents(
    built: Built, manifest: ModuleManifest, digest: Digest, saying: Saying, feed: Feed | None
) -> list[artifact.Attachment]:
    subject = Subject(
        name=manifest.name,
        version=built.version,
        architecture=built.arch,
        digest=digest,
        suite=manifest.build.suite,
        licence=manifest.license,
        description=manifest.description or None,
    )
    composed = built.composed
    files = list(_shipped(composed))
    packages = [package for package, _ in sbom.shipped_packages(composed.packages, files)]
    timestamp = composed.latest_s
    bill = sbom.cyclonedx(subject, composed.packages, files, timestamp=timestamp)
    found = [artifact.Attachment(artifact_type=sbom.MEDIA_TYPE, data=bill, title="sbom.cdx.json")]
    if feed is not None:
        known = vex.openvex(subject, packages, feed, author=saying.builder, timestamp=timestamp)
        if known is not None:
            found.append(artifact.Attachment(artifact_type=vex.MEDIA_TYPE, data=known, title="vex.openvex.json"))
    statement = provenance.statement(
        [provenance.Artifact(name=manifest.name, digest=digest)], _facts(built, manifest, saying, feed)
    )
    title = "provenance.intoto.json"
    found.append(artifact.Attachment(artifact_type=provenance.MEDIA_TYPE, data=statement, title=title))
    return found


def _facts(built: Built, manifest: ModuleManifest, saying: Saying, feed: Feed | None) -> provenance.BuildFacts:
    suite = manifest.build.suite
    materials = provenance.locked(built.packages, suite)
    for name, digest in built.files.items():
        materials.append(provenance.Material(uri=_SOURCE_URI, digests={_TREE_DIGEST: digest}, name=name))
    if built.containerfile is not None:
        materials.append(provenance.Material(uri=_CONTAINERFILE_URI, digests={"sha256": built.containerfile}))
    if feed is not None:
        materials.append(provenance.asked(feed))
    return provenance.BuildFacts(
        builder=saying.builder,
        manifest=saying.manifest,
        version=built.version,
        architecture=built.arch,
        options=built.options,
        suite=suite,
        method="packages" if built.containerfile is None else "containerfile",
        materials=materials,
    )


def _shipped(composed: Composed) -> list[sbom.ShippedFile]:
    shipped = []
    for path, node in walk(composed.tree):
        own = path in composed.own
        if isinstance(node, RegularFile):
            shipped.append(
                sbom.ShippedFile(path=path, size=node.size, sha256=composed.sha256[path], fsverity=node.digest, own=own)
            )
        elif isinstance(node, Symlink):
            shipped.append(sbom.ShippedFile(path=path, target=node.target, own=own))
    return shipped
