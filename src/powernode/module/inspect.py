# SPDX-License-Identifier: MIT
"""What is in a module, whether it is a module directory, in an OCI layout or in a registry.

Invariants: everything is bounded, and nothing of it is believed: digests are compared where content is read, but who
signed is not checked here (`verify`), and the layer itself is not downloaded: its table of contents says what is in it
(`check` proves that). Names and texts in the values are as the artifact has them; whoever prints them escapes them.

Packages are those of the SBOM that is attached, or, in a module directory that has one, of dpkg's database.

    (part,) = of_source(LayoutSource(Layout("build/oci")), "v0.1.0", arch="amd64")
    part.name, part.composefs, [package.name for package in part.packages or ()]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from powernode.archive.chunked.entry import Limits
from powernode.archive.chunked.position import Position
from powernode.base import canonical
from powernode.base.digest import Digest
from powernode.base.errors import DataError, OperatorError
from powernode.composefs import image as images
from powernode.composefs.tree import Directory, RegularFile, Symlink, walk
from powernode.manifest.model import from_document, to_document
from powernode.module import directory, dpkg, layer, sbom, signatures
from powernode.module.artifact import read_config
from powernode.module.reach import Source
from powernode.module.shipped import Shipped, read_sbom
from powernode.oci.documents import INDEX_TYPES, MAX_DOCUMENT_BYTES, Descriptor, Index, Manifest
from powernode.trust.artifact import Found

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Attached", "Part", "Signature", "of_directory", "of_source"]

_CODE = "module.inspect"
_MAX_SBOM_BYTES = 64 << 20
_MAX_SBOM_VALUES = 3_000_000
"""Of a hundred thousand files; half a gigabyte of memory."""
_SBOM_DEPTH = 32
_MAX_ATTACHED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A document about the module: SBOM, VEX, provenance. `size` is in bytes, of the document."""

    kind: str
    title: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Something that calls itself one; nobody has checked it. `about` is manifest or index: the index names every
    manifest by its digest, so a signature of it is about them too."""

    about: str
    kind: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A module for one architecture. `document` is the module manifest, or what a module directory knows of it.

    `packages` is None where nobody says; `unreadable` has what was there and could not be read. What only an artifact
    has (`digest` of its OCI manifest, `layer`, `stored`: bytes in the layer by object, `overhead` of reading it) is
    None or empty for a module directory.
    """

    name: str
    version: str
    architecture: str
    composefs: Digest
    document: Mapping[str, Json]
    tree: Directory
    packages: tuple[Shipped, ...] | None
    digest: str | None = None
    index: str | None = None
    layer: Descriptor | None = None
    stored: Mapping[bytes, int] = field(default_factory=dict)
    overhead: int = 0
    attached: tuple[Attached, ...] = ()
    signatures: tuple[Signature, ...] = ()
    unreadable: tuple[str, ...] = ()
    bill: Json = None


def of_directory(path: Path) -> Part:
    """A module directory (`module.directory`)."""
    module = directory.read(path)
    facts = module.facts
    tree = images.to_tree(module.image.read_bytes())

    def read(node: RegularFile) -> bytes:
        return node.content or b"" if node.payload is None else (module.objects / node.payload.decode()).read_bytes()

    database = dpkg.collect(tree, read)
    packages = None
    if database is not None:
        known = dpkg.installed(database.status, database.lists, database.copyrights, database.diversions)
        nodes = ((path, node) for path, node in walk(tree) if isinstance(node, RegularFile | Symlink))
        ships = [sbom.ShippedFile(path=path) for path, _ in nodes]
        packages = tuple(
            Shipped(
                name=package.name,
                version=package.version,
                architecture=package.architecture,
                licence=package.licence.expression,
                files=len(paths),
            )
            for package, paths in sbom.shipped_packages(known, ships)
        )
    globs = {"mask": facts.mask, "protected_spec": facts.protected_spec, "dependency_spec": facts.dependency_spec}
    document: dict[str, Json] = {"name": facts.name, "effective_priority": facts.effective_priority}
    document |= {name: [*listed] for name, listed in globs.items() if listed}
    document |= {"file_spec": [*facts.file_spec]} if facts.file_spec is not None else {}
    document |= {name: value for name, value in (("locked", facts.locked), ("parent", facts.parent)) if value}
    return Part(
        name=facts.name,
        version=facts.version,
        architecture=facts.architecture,
        composefs=module.digest,
        document=document,
        tree=tree,
        packages=packages,
    )


def of_source(source: Source, version: str, *, arch: str | None = None) -> tuple[Part, ...]:
    """The artifact with this tag or digest, for every architecture or for one."""
    found = source.find(version)
    if found is None:
        raise OperatorError(
            f"{_CODE}.none", f"there is no artifact {version[:150]!r}", hint="is that the version's tag?"
        )
    if found.media_type not in INDEX_TYPES:
        return _of_arch([_part(source, found)], arch)
    index = Index.parse(source.document(found))
    if not index.manifests:
        raise DataError(f"{_CODE}.empty", "the index names no manifest", hint="is it the index of a module?")
    named = {entry.platform.architecture for entry in index.manifests if entry.platform is not None}
    # The platform in the index is what some tool wrote; the configuration decides, once it is read.
    wanted = [
        entry for entry in index.manifests if entry.platform is None or arch in (None, entry.platform.architecture)
    ]
    if arch is not None and not wanted:
        raise _not_for(arch, named)
    signed, unreadable = _signatures(source, found.digest, "index")
    parts = _of_arch([_part(source, entry) for entry in wanted], arch)
    return tuple(
        replace(
            part,
            index=found.digest,
            signatures=(*part.signatures, *signed),
            unreadable=(*part.unreadable, *unreadable),
        )
        for part in parts
    )


def _of_arch(parts: Sequence[Part], arch: str | None) -> tuple[Part, ...]:
    kept = tuple(part for part in parts if arch in (None, part.architecture))
    if arch is not None and not kept:
        raise _not_for(arch, {part.architecture for part in parts})
    return kept


def _not_for(arch: str, found: AbstractSet[str]) -> OperatorError:
    return OperatorError(
        f"{_CODE}.architecture", f"the module is not for {arch}", found=", ".join(sorted(found)) or "none"
    )


def _part(source: Source, descriptor: Descriptor) -> Part:
    manifest = Manifest.parse(source.document(descriptor))
    described = read_config(manifest, source.blob(manifest.config, max_bytes=MAX_DOCUMENT_BYTES))
    document = to_document(from_document(described.manifest))
    assert isinstance(document, dict)
    blob = described.layer

    def read_range(start: int, length: int) -> bytes:
        return source.read_range(blob, start, length)

    toc = layer.read_toc(read_range, blob.annotations, blob_size=blob.size)
    if (found := layer.composefs_digest(toc)) != described.composefs:
        raise DataError(
            f"{_CODE}.composefs",
            "the layer's table of contents is not that of the composefs image which the artifact names",
            expected=str(described.composefs),
            found=str(found),
        )
    signed, unreadable = _signatures(source, descriptor.digest, "manifest")
    attached, bill = _attached(source, descriptor.digest, unreadable)
    return Part(
        name=described.name,
        version=described.version,
        architecture=described.arch,
        composefs=described.composefs,
        document=document,
        tree=layer.tree_of(toc),
        packages=None if bill is None else read_sbom(bill),
        digest=descriptor.digest,
        layer=blob,
        stored={entry.verity: entry.end_offset - entry.offset for entry in toc.entries if entry.verity is not None},
        overhead=Position.parse(blob.annotations, blob_size=blob.size, limits=Limits()).toc.size,
        attached=attached,
        signatures=tuple(signed),
        unreadable=tuple(unreadable),
        bill=bill,
    )


def _signatures(source: Source, digest: str, about: str) -> tuple[list[Signature], list[str]]:
    """What may be signatures, and what could not be read of them."""
    gathered = signatures.gather(source, digest)
    found = [Signature(about=about, kind=each.kind.name.lower(), where=each.where) for each in gathered.found]
    return found, list(gathered.unreadable)


def _attached(source: Source, digest: str, unreadable: list[str]) -> tuple[tuple[Attached, ...], Json]:
    """The documents about a manifest, and the first SBOM that can be read."""
    found: list[Attached] = []
    bill: Json = None
    referrers = source.referrers(digest)
    if len(referrers) > _MAX_ATTACHED:
        unreadable.append(f"{len(referrers) - _MAX_ATTACHED} of {len(referrers)} referrers: too many to look at")
    for descriptor in referrers[:_MAX_ATTACHED]:
        kind = descriptor.artifact_type or "unknown"
        try:
            manifest = signatures.read_document(source, descriptor)
            layers = manifest.layers if isinstance(manifest, Manifest) else ()
            blobs = [blob for blob in layers if not _is_signature(blob)]
            for blob in blobs:
                title = blob.annotations.get("org.opencontainers.image.title", "")
                found.append(Attached(kind=kind, title=title, digest=descriptor.digest, size=blob.size))
            if kind == sbom.MEDIA_TYPE and bill is None and len(blobs) == 1:
                data = source.blob(blobs[0], max_bytes=_MAX_SBOM_BYTES)
                bill = canonical.decode(
                    data,
                    what="the SBOM",
                    max_bytes=_MAX_SBOM_BYTES,
                    max_depth=_SBOM_DEPTH,
                    max_values=_MAX_SBOM_VALUES,
                )
        except DataError as error:
            unreadable.append(f"{kind} {descriptor.digest}: {error.message}")
    return tuple(sorted(found, key=lambda each: (each.kind, each.digest))), bill


def _is_signature(blob: Descriptor) -> bool:
    """Those are listed as such."""
    return Found.in_layer(blob.media_type, where="", payload=b"", annotations={}) is not None
