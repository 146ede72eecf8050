# SPDX-License-Identifier: MIT
"""A module from a registry to a module directory, of which only what is missing is fetched; or to an OCI layout.

Invariants: everything follows from one digest, which the caller has verified: manifest, configuration and layer are
named by it, and the composefs image made from the layer's table of contents has the digest that the manifest states;
every object is compared with its fs-verity digest. A directory holds the old module or the new one, whole, and when it
holds the one that is asked for only manifests are transferred.

Out of scope: whom to believe (`verify`), which modules belong together.

    pulled = pull(registry, verified.descriptor, Path("redis"), arch="amd64")
    pulled.module.digest, pulled.fetched_objects, pulled.is_unchanged
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from powernode import verity
from powernode.base import canonical
from powernode.base.durable import write_durably
from powernode.base.errors import DataError, MachineError, OperatorError, PowernodeError
from powernode.composefs.store import ObjectStore
from powernode.linux import files
from powernode.manifest.model import ModuleManifest, from_document
from powernode.module import directory as modules
from powernode.module._pull_layer import Fetching, Progress
from powernode.module.artifact import Described, read_config
from powernode.module.refer import COSIGN_SUFFIXES, Belonging, belongings, blobs_of
from powernode.module.signatures import fallback_tag
from powernode.module.signing_stores import RegistryStore
from powernode.oci.client import Registry
from powernode.oci.documents import MAX_DOCUMENT_BYTES, Descriptor, Manifest, parse_document
from powernode.oci.layout import Layout

__all__ = ["ORIGIN", "Progress", "Pulled", "entry_for", "pull", "pull_layout"]

ORIGIN = "origin.json"
"""Beside module.json: which artifact the directory was made of."""

_CODE = "module.pull"
_DEFAULT_PRIORITY = 500_000
_MAX_ORIGIN = 4096
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """`layer_bytes` is what was read of the layer, its table of contents included."""

    module: modules.Module
    manifest: str
    is_unchanged: bool
    objects: int
    fetched_objects: int
    layer_bytes: int


def entry_for(registry: Registry, root: Descriptor, arch: str) -> Descriptor:
    """The manifest for this architecture; `root` may be it already."""
    document = parse_document(registry.manifest(root).data, media_type=root.media_type)
    if isinstance(document, Manifest):
        return root
    found = [entry for entry in document.manifests if entry.platform and entry.platform.architecture == arch]
    if len(found) != 1:
        there = ", ".join(sorted(entry.platform.architecture for entry in document.manifests if entry.platform))
        raise OperatorError(f"{_CODE}.architecture", f"the module is not for {arch}", found=there or "none")
    return found[0]


def pull(
    registry: Registry,
    root: Descriptor,
    directory: Path,
    *,
    arch: str,
    store: Path | None = None,
    effective_priority: int = _DEFAULT_PRIORITY,
    jobs: int = 4,
    progress: Progress | None = None,
) -> Pulled:
    """The module for `arch` in `directory`; with `store`, its objects are in that store and linked from there."""
    _refuse_others(directory)
    entry = entry_for(registry, root, arch)
    if _origin(directory) == entry.digest and (there := _whole(directory)) is not None:
        return Pulled(
            module=there, manifest=entry.digest, is_unchanged=True, objects=0, fetched_objects=0, layer_bytes=0
        )
    manifest = Manifest.parse(registry.manifest(entry).data)
    described = read_config(manifest, registry.read_blob(manifest.config, max_bytes=MAX_DOCUMENT_BYTES))
    if described.arch != arch:
        raise DataError(f"{_CODE}.architecture", "the index calls it another", expected=arch, found=described.arch)
    facts = _facts(described, from_document(described.manifest), effective_priority)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as work:
        new = Path(work) / "new"
        fetching = Fetching(registry, described, progress, spool=Path(work), jobs=jobs)
        shared = None if store is None else _store(store)
        modules.write(new, facts, lambda own: fetching.fill(shared or own, directory / modules.OBJECTS))
        if shared is not None:
            (new / modules.OBJECTS).rmdir()
            (new / modules.OBJECTS).symlink_to(shared.path)
        origin = canonical.encode({"manifest": entry.digest, "root": root.digest, "from": str(registry.reference)})
        write_durably(str(new / ORIGIN), origin, mode=0o644)
        _exchange(directory, new)
    return Pulled(
        module=modules.read(directory),
        manifest=entry.digest,
        is_unchanged=False,
        objects=fetching.objects,
        fetched_objects=fetching.fetched,
        layer_bytes=fetching.layer_bytes,
    )


def pull_layout(
    registry: Registry,
    root: Descriptor,
    layout: Layout,
    *,
    name: str | None,
    arch: str | None = None,
    progress: Progress | None = None,
) -> int:
    """The whole artifact with what is said about it, under its name; returns how many blobs were fetched.

    With `arch`, the blobs of that architecture only: then the manifest takes the name, as its index is not complete.
    """
    if arch is not None:
        root = entry_for(registry, root, arch)
    found = list(belongings(RegistryStore(registry), root))
    found += _cosign_tags(registry, found)
    size = fetched = 0
    blobs = {blob.digest: blob for each in found for blob in blobs_of(each.document)}
    for done, blob in enumerate(blobs.values(), 1):
        if not layout.has(blob):
            with layout.writer() as writer:
                registry.fetch_blob(blob, writer)
                writer.commit(expected=blob.digest)
            fetched += 1
            size += blob.size
        if progress is not None:
            progress(done, size)
    for each in found:
        layout.put(each.data, each.descriptor.media_type)
        if each.tag is not None or each.subject is not None:
            layout.add(each.descriptor.with_annotations({}), each.tag)
    layout.add(root, name)
    return fetched


def _cosign_tags(registry: Registry, found: Sequence[Belonging]) -> list[Belonging]:
    """Signatures that are named by tags; of what is said about the artifact nobody makes any."""
    source = RegistryStore(registry)
    tagged = []
    for about in [each.descriptor.digest for each in found if each.subject is None]:
        for suffix in COSIGN_SUFFIXES:
            descriptor = source.find(tag := fallback_tag(about, suffix))
            if descriptor is not None:
                tagged += [replace(each, tag=tag) for each in belongings(source, descriptor)][:1]
    return tagged


def _facts(described: Described, manifest: ModuleManifest, effective_priority: int) -> modules.Facts:
    return modules.Facts(
        name=described.name,
        version=described.version,
        architecture=described.arch,
        effective_priority=effective_priority,
        file_spec=manifest.file_spec,
        mask=manifest.mask,
        protected_spec=manifest.protected_spec,
        dependency_spec=manifest.dependency_spec,
    )


def _refuse_others(directory: Path) -> None:
    """What is replaced is removed, so it had better come from a registry."""
    if directory.exists() and not (directory / ORIGIN).is_file() and any(directory.iterdir()):
        raise OperatorError(
            f"{_CODE}.exists", f"{directory} holds what was not pulled", expected=f"a folder with {ORIGIN}, or none"
        )


def _whole(directory: Path) -> modules.Module | None:
    """The module that is there; a damaged one is as good as none, and is replaced."""
    try:
        return modules.read(directory)
    except PowernodeError:
        return None


def _origin(directory: Path) -> str | None:
    with suppress(FileNotFoundError, DataError), (directory / ORIGIN).open("rb") as file:
        value = canonical.decode(file.read(_MAX_ORIGIN), what=ORIGIN, max_bytes=_MAX_ORIGIN)
        found = value.get("manifest") if isinstance(value, dict) else None
        return found if isinstance(found, str) else None
    return None


def _store(path: Path) -> ObjectStore:
    return ObjectStore.create(path, digest_fd=lambda fd: verity.digest_fd(fd).value)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _exchange(directory: Path, new: Path) -> None:
    """`new` in the place of `directory`, in one step; what was there is then where `new` was."""
    with _opened(new.parent) as fd:
        files.syncfs(fd)
    if not directory.exists():
        new.rename(directory)
    elif ctypes.CDLL(None, use_errno=True).renameat2(
        _AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(directory), _RENAME_EXCHANGE
    ):
        number = ctypes.get_errno()
        raise MachineError(f"{_CODE}.exchange", f"cannot replace {directory}", found=os.strerror(number))
    with _opened(directory.parent) as fd:
        os.fsync(fd)
