# SPDX-License-Identifier: MIT
"""What differs between two modules: what they say of themselves, their packages, their files, and what it costs.

Invariants: pure and ordered; nothing differs between equal modules. Contents are compared by their fs-verity digests
(or by their bytes, where the image has them), so no object is read.

`Transfer` is what a node that has all objects of the first module reads to have those of the second: each object once.

    found = compare(before, after)
    [change.name for change in found.packages or ()], found.transfer.objects
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powernode.base.errors import DataError, OperatorError
from powernode.composefs.tree import BlockDevice, CharacterDevice, Directory, Node, RegularFile, Symlink, walk
from powernode.manifest.problem import path_text
from powernode.module._debversion import order
from powernode.module._held import sizes_of
from powernode.module.inspect import Part
from powernode.module.shipped import Shipped

if TYPE_CHECKING:
    from powernode.base.canonical import Json
    from powernode.manifest.problem import Path

__all__ = ["Difference", "FieldChange", "FileChange", "PackageChange", "Transfer", "compare"]

_IN_DIRECTORIES = frozenset(("name", "file_spec", "mask", "protected_spec", "dependency_spec"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A member of the manifest (`services[0].name`); None is one that is not there."""

    field: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """`what` is added, removed, upgraded, downgraded, changed (versions that have no order) or licence."""

    name: str
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """`what` is added, removed or changed; `details` say how: the aspect, what it was and what it is."""

    path: bytes
    what: str
    details: tuple[tuple[str, str, str], ...] = ()

    @property
    def time_only(self) -> bool:
        return bool(self.details) and all(aspect == "time" for aspect, _, _ in self.details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """`size` and `total` are of the contents, in bytes; `stored` is what they take in the layer, with its table of
    contents, and None for a module directory."""

    objects: int
    size: int
    total: int
    stored: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`packages` is None where one of the modules does not say which it has. Without `whole_manifest`, `fields` are of
    what a module directory has of a manifest."""

    fields: tuple[FieldChange, ...]
    whole_manifest: bool
    packages: tuple[PackageChange, ...] | None
    files: tuple[FileChange, ...]
    transfer: Transfer
    same_image: bool


def compare(before: Part, after: Part) -> Difference:
    if before.architecture != after.architecture:
        raise OperatorError(
            "module.diff.architecture",
            "the modules are for two architectures",
            found=f"{before.architecture} and {after.architecture}",
            hint="give --arch",
        )
    documents = before.document, after.document
    whole_manifest = (before.layer is None) == (after.layer is None)
    if not whole_manifest:
        documents = _in_directories(before.document), _in_directories(after.document)
    said = ("version", before.version, after.version)
    fields = [FieldChange(field=said[0], before=said[1], after=said[2])] if said[1] != said[2] else []
    packages = None
    if before.packages is not None and after.packages is not None:
        packages = tuple(_packages(before.packages, after.packages))
    return Difference(
        fields=(*fields, *_fields((), dict(documents[0]), dict(documents[1]))),
        whole_manifest=whole_manifest,
        packages=packages,
        files=tuple(_files(before.tree, after.tree)),
        transfer=_transfer(before, after),
        same_image=before.composefs == after.composefs,
    )


def _in_directories(document: Mapping[str, Json]) -> Mapping[str, Json]:
    """What both a manifest and a module directory say: that one of them lacks the rest is no difference."""
    return {name: value for name, value in document.items() if name in _IN_DIRECTORIES}


def _fields(path: Path, before: Json, after: Json) -> Iterator[FieldChange]:
    """Lists are compared whole: an entry has no name to know it by."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _fields((*path, name), before.get(name), after.get(name))
    elif before != after:
        yield FieldChange(field=path_text(path), before=before, after=after)


def _packages(before: tuple[Shipped, ...], after: tuple[Shipped, ...]) -> Iterator[PackageChange]:
    old, new = _by_name(before), _by_name(after)
    for key in sorted(old.keys() | new.keys()):
        name = f"{key[0]}:{key[1]}" if key[1] else key[0]
        was, now = old.get(key), new.get(key)
        if was is None or now is None:
            what = "added" if was is None else "removed"
            yield PackageChange(
                name=name, what=what, before=was.version if was else None, after=now.version if now else None
            )
        elif was.version != now.version:
            yield PackageChange(name=name, what=_direction(was, now), before=was.version, after=now.version)
        elif was.licence != now.licence:
            yield PackageChange(name=name, what="licence", before=was.licence, after=now.licence)


def _by_name(packages: tuple[Shipped, ...]) -> dict[tuple[str, str], Shipped]:
    return {(package.name, package.architecture): package for package in packages}


def _direction(was: Shipped, now: Shipped) -> str:
    try:
        return "upgraded" if order(was.version) < order(now.version) else "downgraded"
    except DataError:  # of no Debian package
        return "changed"


def _files(before: Directory, after: Directory) -> Iterator[FileChange]:
    old, new = dict(walk(before)), dict(walk(after))
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None or now is None:
            yield FileChange(path=path, what="added" if was is None else "removed")
        elif details := tuple(_details(was, now)):
            yield FileChange(path=path, what="changed", details=details)


def _details(was: Node, now: Node) -> Iterator[tuple[str, str, str]]:
    if type(was) is not type(now):
        yield "type", _type(was), _type(now)
    if isinstance(was, RegularFile) and isinstance(now, RegularFile):
        if was.size != now.size:
            yield "size", f"{was.size}", f"{now.size}"
        if _content(was) != _content(now):
            yield "content", _content(was), _content(now)
    if isinstance(was, Symlink) and isinstance(now, Symlink) and was.target != now.target:
        yield "target", _text(was.target), _text(now.target)
    for aspect, old, new in (
        ("mode", f"{was.mode:04o}", f"{now.mode:04o}"),
        ("owner", f"{was.uid}:{was.gid}", f"{now.uid}:{now.gid}"),
        ("device", _device(was), _device(now)),
        ("attributes", _xattrs(was), _xattrs(now)),
        ("time", f"{was.mtime_s}.{was.mtime_ns:09}", f"{now.mtime_s}.{now.mtime_ns:09}"),
    ):
        if old != new:
            yield aspect, old, new


def _content(file: RegularFile) -> str:
    """What is equal where contents are: files have a digest, or are small enough to be in the image."""
    return file.digest.hex() if file.digest is not None else _text(file.content or b"")


def _type(node: Node) -> str:
    kinds = {RegularFile: "file", Directory: "directory", Symlink: "link"}
    return kinds.get(type(node), type(node).__name__.lower())


def _device(node: Node) -> str:
    return str(node.rdev) if isinstance(node, CharacterDevice | BlockDevice) else ""


def _xattrs(node: Node) -> str:
    return " ".join(f"{_text(name)}={_text(value)}" for name, value in node.xattrs)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _transfer(before: Part, after: Part) -> Transfer:
    sizes = sizes_of(after.tree)
    absent = sizes.keys() - sizes_of(before.tree).keys()
    stored = None
    if after.layer is not None:
        stored = after.overhead + sum(after.stored.get(digest, 0) for digest in absent)
    return Transfer(
        objects=len(absent),
        size=sum(sizes[digest] for digest in absent),
        total=sum(sizes.values()),
        stored=stored,
    )
