# SPDX-License-Identifier: MIT
"""A module from a registry to a module directory, of which only what is missing is fetched; or to an OCI layout.

Invariants: everything follows from one digest, which the caller has verified: manifest, configuration and layer are
named by it, and the composefs image made from the layer's table of contents has the digest that the manifest states;
every object that is fetched, or taken from the old directory or a shared store, is compared with its fs-verity digest.
A directory holds the old module or the new one, whole. If it holds the one that is asked for, with objects of the right
sizes (`recheck`: digests), only manifests are transferred; a damaged one is replaced. In a shared store nothing is: a
damaged object there is a refusal. How much may belong to an artifact is bounded (`refer`), and what is asked for by
name and version is what comes (`expected`).

Out of scope: whom to believe (`verify`), which modules belong together.

    pulled = pull(registry, verified.descriptor, Path("redis"), arch="amd64")
    pulled.module.digest, pulled.fetched_objects, pulled.is_unchanged
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Self

from powernode import verity
from powernode.base import canonical
from powernode.base.durable import write_durably
from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore
from powernode.manifest.model import ModuleManifest, from_document
from powernode.module import directory as modules
from powernode.module._held import changed, of_other_size, sizes_of
from powernode.module._pull_layer import Fetching, Progress
from powernode.module.artifact import Described, read_config
from powernode.module.expected import Expected
from powernode.module.place import beside, put
from powernode.module.refer import MAX_LAYER_BYTES, Belonging, Walk, blobs_of, cosign_tags
from powernode.module.signing_stores import RegistryStore
from powernode.oci.client import Registry
from powernode.oci.documents import MAX_DOCUMENT_BYTES, Descriptor, Manifest, parse_document
from powernode.oci.layout import Layout

__all__ = ["ORIGIN", "Progress", "Pulled", "entry_for", "pull", "pull_layout"]

ORIGIN = "origin.json"
"""Beside module.json: which artifact the directory was made of."""

_CODE = "module.pull"
_MAX_ORIGIN = 4096


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
    effective_priority: int = modules.DEFAULT_PRIORITY,
    expected: Expected | None = None,
    recheck: bool = False,
    jobs: int = 4,
    progress: Progress | None = None,
) -> Pulled:
    """The module for `arch` in `directory`, or where that leads as a link; with `store`, its objects are in that store
    and linked from there. With `recheck`, every object of an unchanged module is measured."""
    directory = Path(os.path.realpath(directory))
    _refuse_others(directory)
    expected = expected or Expected()
    entry = entry_for(registry, root, arch)
    there = _whole(directory, store, effective_priority, recheck) if _origin(directory) == entry.digest else None
    if there is not None and _origin(directory) == entry.digest:  # and no other pull took its place while it was read
        expected.check(there.facts.name, there.facts.version, code=_CODE)
        return Pulled(
            module=there, manifest=entry.digest, is_unchanged=True, objects=0, fetched_objects=0, layer_bytes=0
        )
    manifest = Manifest.parse(registry.manifest(entry).data)
    described = read_config(manifest, registry.read_blob(manifest.config, max_bytes=MAX_DOCUMENT_BYTES))
    if described.arch != arch:
        raise DataError(f"{_CODE}.architecture", "the index calls it another", expected=arch, found=described.arch)
    expected.check(described.name, described.version, code=_CODE)
    if described.layer.size > MAX_LAYER_BYTES:
        raise DataError(
            f"{_CODE}.too-large",
            "the layer is too large",
            expected=f"at most {MAX_LAYER_BYTES} bytes",
            found=f"{described.layer.size}",
        )
    facts = _facts(described, from_document(described.manifest), effective_priority)
    with beside(directory) as work:
        new = work / "new"
        fetching = Fetching(registry, described, progress, spool=work, jobs=jobs)
        shared = None if store is None else _store(store)
        old = directory / modules.OBJECTS
        modules.write(new, facts, lambda own: fetching.fill(shared or own, old, is_shared=shared is not None))
        if shared is not None:
            (new / modules.OBJECTS).rmdir()
            (new / modules.OBJECTS).symlink_to(shared.path)
        origin = canonical.encode({"manifest": entry.digest, "root": root.digest, "from": str(registry.reference)})
        write_durably(str(new / ORIGIN), origin, mode=0o644)
        module = replace(modules.read(new), directory=directory)  # once it has its place, another may take that
        put(new, directory)
    return Pulled(
        module=module,
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
    expected: Expected | None = None,
    jobs: int = 4,
    progress: Progress | None = None,
) -> int:
    """The whole artifact with what is said about it, under its name; returns how many blobs were fetched.

    With `arch`, the blobs of that architecture only: then the manifest takes the name, as its index is not complete.
    """
    if arch is not None:
        root = entry_for(registry, root, arch)
    if expected is not None:
        document = parse_document(registry.manifest(root).data, media_type=root.media_type)
        expected.check_document(document, code=_CODE)
    said: list[tuple[Descriptor, str | None]] = []
    with _Copying(registry, layout, jobs, progress) as copying:
        for each in _everything(RegistryStore(registry), root):
            copying.fetch(blobs_of(each.document))
            layout.put(each.data, each.descriptor.media_type)
            if each.tag is not None or each.subject is not None:
                said.append((each.descriptor.with_annotations({}), each.tag))
    for descriptor, tag in said:
        layout.add(descriptor, tag)
    layout.add(root, name)
    return copying.fetched


def _everything(source: RegistryStore, root: Descriptor) -> Iterator[Belonging]:
    """With the signatures that are named by tags; of what is said about the artifact nobody makes any."""
    walk, own = Walk(source), []
    for each in walk.over(root):
        if not each.is_said:
            own.append(each.descriptor.digest)
        yield each
    named = ((tag, source.find(tag)) for tag in cosign_tags(own))
    yield from walk.tagged([(tag, found) for tag, found in named if found is not None])


class _Copying:
    """Blobs into a layout, side by side; leaving the block waits for them, and the first that failed is raised."""

    def __init__(self, registry: Registry, layout: Layout, jobs: int, progress: Progress | None) -> None:
        self.fetched = self._bytes = self._done = 0
        self._registry = registry
        self._layout = layout
        self._progress = progress
        self._pool = ThreadPoolExecutor(max(1, jobs))
        self._running: dict[str, Future[None]] = {}
        self._lock = Lock()

    def fetch(self, blobs: Sequence[Descriptor]) -> None:
        for blob in blobs:
            if blob.digest not in self._running:
                self._running[blob.digest] = self._pool.submit(self._fetch, blob)

    def _fetch(self, blob: Descriptor) -> None:
        is_there = self._layout.has(blob)
        if not is_there:
            with self._layout.receiver(blob) as writer:
                self._registry.fetch_blob(blob, writer)
                writer.commit()
        with self._lock:
            self._done += 1
            self.fetched += not is_there
            self._bytes += 0 if is_there else blob.size
            if self._progress is not None:
                self._progress(self._done, self._bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            for each in as_completed(self._running.values()) if kind is None else ():
                each.result()
        finally:
            self._pool.shutdown(cancel_futures=True)


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
    """What is replaced is removed, so it had better come from a registry; and it must be one that can be replaced."""
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):  # links that go round in circles
        raise OperatorError(f"{_CODE}.exists", f"{directory} is no folder", hint="name a new one")
    if directory.is_mount() or (directory.exists() and directory.samefile(os.curdir)):
        raise OperatorError(
            f"{_CODE}.in-use",
            f"{directory} cannot be replaced in one step",
            expected="a folder that is neither the current one nor a mount point",
            hint=f"name a folder in it, such as {directory / 'NAME'}",
        )
    if directory.exists() and not (directory / ORIGIN).is_file() and any(directory.iterdir()):
        raise OperatorError(
            f"{_CODE}.exists",
            f"{directory} holds what was not pulled",
            expected=f"a folder with {ORIGIN}, or none",
            hint="name a new folder, or move this one away",
        )


def _whole(directory: Path, store: Path | None, effective_priority: int, recheck: bool) -> modules.Module | None:
    """The module that is there, if it is as asked for; one that is seen to be damaged is as good as none."""
    objects = directory / modules.OBJECTS
    linked = objects.resolve() if objects.is_symlink() else None
    if linked != (None if store is None else store.resolve()):
        return None
    try:
        module = modules.read(directory)
        sizes = sizes_of(images.to_tree(module.image.read_bytes()))
    except (OSError, PowernodeError):  # also if another pull takes its place meanwhile
        return None
    if of_other_size(objects, sizes) or (recheck and changed(objects, sizes)):
        return None
    return module if module.facts.effective_priority == effective_priority else None


def _origin(directory: Path) -> str | None:
    with suppress(FileNotFoundError, DataError), (directory / ORIGIN).open("rb") as file:
        value = canonical.decode(file.read(_MAX_ORIGIN), what=ORIGIN, max_bytes=_MAX_ORIGIN)
        found = value.get("manifest") if isinstance(value, dict) else None
        return found if isinstance(found, str) else None
    return None


def _store(path: Path) -> ObjectStore:
    return ObjectStore.create(path, digest_fd=lambda fd: verity.digest_fd(fd).value)
