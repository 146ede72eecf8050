# SPDX-License-Identifier: MIT
"""Small modules as directories and as published layouts, for the tests of what is said about them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from powernode.base.digest import Digest
from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore, object_path
from powernode.composefs.tree import Directory, Node, RegularFile, Symlink, Xattrs, walk
from powernode.manifest.model import from_document, to_document
from powernode.module import artifact, sbom
from powernode.module import directory as modules
from powernode.module.dpkg import Installed
from powernode.module.layer import write_layer
from powernode.module.subject import Subject
from powernode.oci.documents import MAX_DOCUMENT_BYTES, Descriptor, Index
from powernode.oci.layout import Layout
from powernode.verity import digest_buffer

if TYPE_CHECKING:
    from powernode.base.canonical import Json

TIME = 1_754_697_600


def file(data: bytes, *, mode: int = 0o644, uid: int = 0, mtime_s: int = TIME, xattrs: Xattrs = ()) -> RegularFile:
    """A file; above 64 bytes its content is an object, whose bytes `publish` finds in `content`."""
    if len(data) <= 64:
        return RegularFile(mode=mode, uid=uid, mtime_s=mtime_s, xattrs=xattrs, size=len(data), content=data or None)
    digest = digest_buffer(data).value
    payload = object_path(digest).encode()
    CONTENTS[digest] = data
    return RegularFile(
        mode=mode, uid=uid, mtime_s=mtime_s, xattrs=xattrs, size=len(data), payload=payload, digest=digest
    )


CONTENTS: dict[bytes, bytes] = {}
"""The bytes of the objects of the files above: by digest, so tests cannot get in each other's way."""


def link(target: bytes) -> Symlink:
    return Symlink(mode=0o777, mtime_s=TIME, target=target)


def tree(**places: Node) -> Directory:
    """Directories for places such as `etc__motd`; two underscores are a slash."""
    found: dict[bytes, Node] = {}
    for name, node in places.items():
        *parents, last = name.encode().split(b"__")
        entries = found
        for parent in parents:
            below = entries.setdefault(parent, Directory(mtime_s=TIME, entries={}))
            assert isinstance(below, Directory)
            assert isinstance(below.entries, dict)
            entries = below.entries
        entries[last] = node
    return _counted(Directory(mtime_s=TIME, entries=found))


def _counted(folder: Directory) -> Directory:
    """With the link count that directories have."""
    entries = {name: _counted(node) if isinstance(node, Directory) else node for name, node in folder.entries.items()}
    nlink = 2 + sum(isinstance(node, Directory) for node in entries.values())
    return Directory(mode=folder.mode, mtime_s=TIME, nlink=nlink, entries=entries)


def write(folder: Path, root: Directory, *, version: str = "0.1.0", arch: str = "amd64") -> modules.Module:
    """A module directory of that tree."""

    def fill(store: ObjectStore) -> bytes:
        for _, node in walk(root):
            if isinstance(node, RegularFile) and node.digest is not None:
                store.add_bytes(CONTENTS[node.digest], node.digest)
        return images.from_tree(root, min_version=modules.MIN_VERSION)

    facts = modules.Facts(name="my-redis", version=version, architecture=arch, effective_priority=500_000)
    return modules.write(folder, facts, fill)


def publish(
    layout: Layout,
    scratch: Path,
    root: Directory,
    *,
    version: str = "0.1.0",
    arches: tuple[str, ...] = ("amd64",),
    packages: tuple[Installed, ...] = (),
    bill: bytes | None = None,
    **members: Json,
) -> Descriptor:
    """A version in the layout, with its SBOM (or `bill` in its place), named `vVERSION`; `members` are more of the
    manifest."""
    document: dict[str, Json] = {"schema_version": 1, "name": "my-redis", "file_spec": ["/**"]}
    manifest = to_document(from_document(document | members))
    assert isinstance(manifest, dict)
    parts = []
    for arch in arches:
        module = write(scratch / f"{arch}-{version}", root, version=version, arch=arch)
        path = scratch / f"{arch}-{version}.layer"
        with path.open("w+b") as out:
            written = write_layer(module, out)
        layer = artifact.Layer(
            path=path,
            digest=written.digest,
            size=written.size,
            diff_id=written.diff_id,
            annotations=written.annotations,
        )
        parts.append(
            artifact.Part(
                manifest=manifest, version=version, arch=arch, composefs=module.digest, layer=layer, created_s=TIME
            )
        )
    index = artifact.assemble(layout, parts, tag=f"v{version}")
    for entry in Index.parse(layout.read(index, max_bytes=MAX_DOCUMENT_BYTES)).manifests:
        assert entry.platform is not None
        subject = Subject(
            name="my-redis",
            version=version,
            architecture=entry.platform.architecture,
            digest=Digest.parse(entry.digest),
            suite="trixie",
        )
        data = sbom.cyclonedx(subject, packages, _shipped(root), timestamp=TIME) if bill is None else bill
        attachment = artifact.Attachment(artifact_type=sbom.MEDIA_TYPE, data=data, title="sbom.cdx.json")
        layout.add(artifact.attach(layout, entry, attachment, created_s=TIME))
    return index


def _shipped(root: Directory) -> list[sbom.ShippedFile]:
    found = []
    for path, node in walk(root):
        if isinstance(node, RegularFile):
            data = CONTENTS[node.digest] if node.digest is not None else node.content or b""
            found.append(
                sbom.ShippedFile(path=path, size=node.size, sha256=sha256(data).digest(), fsverity=node.digest)
            )
        elif isinstance(node, Symlink):
            found.append(sbom.ShippedFile(path=path, target=node.target))
    return found
