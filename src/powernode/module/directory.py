# SPDX-License-Identifier: MIT
"""A module as a directory: `module.json`, `image.erofs` and `objects/`; and the root that some of them make together.

Invariants: `module.json` names the image by its fs-verity digest; `read` refuses an image with another digest, one that
describes no tree and one whose objects are not all there, so a Module in hand is complete. Objects are named by
their digests; their content is checked when they are put in and by the kernel when they are used. A module that ships
all of its tree has the same image as the root made of it alone.

Out of scope: making trees (`compose`, `tree`), signatures, the order of modules (`manifest.priority`).

    module = write(Path("base"), facts, lambda store: scan.image_of("tree", options, store=store))
    root = merge_root([read(Path("base")), read(Path("site"))])
    root.digest.hex, root.report.lost
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from powernode import verity
from powernode.base import canonical
from powernode.base.digest import Digest
from powernode.base.errors import DataError, OperatorError
from powernode.base.fields import Fields
from powernode.composefs import image as images
from powernode.composefs import scan
from powernode.composefs.merge import MergeInput, MergeResult, merge
from powernode.composefs.store import ObjectStore, object_path
from powernode.debian.lock import ARCHITECTURES
from powernode.manifest.globs import compile_globs

__all__ = ["DEFAULT_PRIORITY", "DOCUMENT", "IMAGE", "MAX_GLOBS", "MIN_VERSION", "OBJECTS", "Facts", "Fill", "Module"]
__all__ += ["Root", "from_tree", "merge_root", "read", "refuse_existing", "write"]

DOCUMENT, IMAGE, OBJECTS = "module.json", "image.erofs", "objects"
MIN_VERSION = 1
ANY_ARCHITECTURE = "all"
DEFAULT_PRIORITY = 500_000
"""The effective priority of what was built or pulled, until somebody assembles modules and gives another."""

Fill = Callable[[ObjectStore], bytes]
"""Puts a tree's objects into the store and returns its image."""

_CODE = "module.directory"
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,127}")
_VERSION = re.compile(r"[a-z0-9][A-Za-z0-9+.~:_-]{0,127}")
_PRIORITY_MAX = 1_000_000_000
MAX_GLOBS = 10_000
_MAX_DOCUMENT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a module beside its tree. A dependant names its `parent` and has no `file_spec`."""

    name: str
    version: str
    architecture: str
    effective_priority: int
    file_spec: tuple[str, ...] | None = ("/**",)
    mask: tuple[str, ...] = ()
    protected_spec: tuple[str, ...] = ()
    dependency_spec: tuple[str, ...] = ()
    locked: bool = False
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    directory: Path
    facts: Facts
    digest: Digest

    @property
    def image(self) -> Path:
        return self.directory / IMAGE

    @property
    def objects(self) -> Path:
        return self.directory / OBJECTS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Root:
    """A merged root: the image, the one number for it, and who lost what."""

    image: bytes
    digest: Digest
    report: MergeResult


def from_tree(tree: Path) -> Fill:
    """The files below a folder, with their owners, modes, times and extended attributes."""
    return lambda store: scan.image_of(tree, scan.ScanOptions(), min_version=MIN_VERSION, store=store)


def write(directory: Path, facts: Facts, fill: Fill) -> Module:
    """A new module directory; nothing is left of one that could not be made."""
    _check(facts)
    refuse_existing(directory)
    directory.mkdir(parents=True)
    try:
        store = ObjectStore.create(directory / OBJECTS, digest_fd=lambda fd: verity.digest_fd(fd).value)
        image = fill(store)
        (directory / IMAGE).write_bytes(image)
        (directory / IMAGE).chmod(0o644)
        digest = images.digest(image)
        (directory / DOCUMENT).write_text(json.dumps(_document(facts, digest), indent=1, sort_keys=True) + "\n")
        (directory / DOCUMENT).chmod(0o644)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Module(directory=directory, facts=facts, digest=digest)


def refuse_existing(directory: Path) -> None:
    """For work that takes long and ends with `write`."""
    if directory.exists():
        raise OperatorError(f"{_CODE}.exists", f"{directory} is there already", hint="remove it first")


def read(directory: Path) -> Module:
    try:
        document = (directory / DOCUMENT).read_bytes()
        image = (directory / IMAGE).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OperatorError(
            f"{_CODE}.no-module", f"{directory} is no module directory", expected=f"{DOCUMENT}, {IMAGE}, {OBJECTS}/"
        ) from error
    facts, expected = _parse(document, f"{DOCUMENT} of {directory.name}")
    found = images.digest(image)
    if found != expected:
        raise DataError(
            f"{_CODE}.digest",
            f"the image of {facts.name} is not the one its {DOCUMENT} names",
            expected=str(expected),
            found=str(found),
            hint="build the module again",
        )
    missing = ObjectStore(directory / OBJECTS).missing(images.objects(image))
    if missing:
        raise DataError(
            f"{_CODE}.object-missing",
            f"{len(missing)} objects of {facts.name} are not in its store",
            expected=object_path(missing[0]),
            hint="build the module again",
        )
    return Module(directory=directory, facts=facts, digest=found)


def merge_root(modules: Sequence[Module]) -> Root:
    """The one tree the modules make; the order of `modules` does not matter."""
    architectures = {module.facts.architecture for module in modules} - {ANY_ARCHITECTURE}
    if len(architectures) > 1:
        found = ", ".join(f"{module.facts.name} is for {module.facts.architecture}" for module in modules)
        raise OperatorError(f"{_CODE}.architecture", "the modules are not for one architecture", found=found)
    report = merge([_merge_input(module) for module in modules])
    image = images.from_tree(report.tree, min_version=MIN_VERSION)
    return Root(image=image, digest=images.digest(image), report=report)


def _merge_input(module: Module) -> MergeInput:
    facts = module.facts
    return MergeInput(
        name=facts.name,
        effective_priority=facts.effective_priority,
        tree=images.to_tree(module.image.read_bytes()),
        file_spec=None if facts.file_spec is None else compile_globs(facts.file_spec),
        mask=compile_globs(facts.mask) if facts.mask else None,
        protected_spec=compile_globs(facts.protected_spec) if facts.protected_spec else None,
        dependency_spec=compile_globs(facts.dependency_spec) if facts.dependency_spec else None,
        locked=facts.locked,
        parent=facts.parent,
    )


def _document(facts: Facts, digest: Digest) -> dict[str, object]:
    return {
        "version": facts.version,
        "name": facts.name,
        "architecture": facts.architecture,
        "effective_priority": facts.effective_priority,
        "file_spec": None if facts.file_spec is None else list(facts.file_spec),
        "mask": list(facts.mask),
        "protected_spec": list(facts.protected_spec),
        "dependency_spec": list(facts.dependency_spec),
        "locked": facts.locked,
        "parent": facts.parent,
        "digest": str(digest),
    }


def _parse(data: bytes, what: str) -> tuple[Facts, Digest]:
    document = canonical.decode(data, what=what, max_bytes=_MAX_DOCUMENT_BYTES)
    with Fields(document, code=_CODE, what=what) as fields:
        facts = Facts(
            name=fields.text("name"),
            version=fields.text("version"),
            architecture=fields.text("architecture"),
            effective_priority=fields.integer("effective_priority", least=0, most=_PRIORITY_MAX),
            file_spec=None if fields.null("file_spec") else tuple(fields.texts("file_spec", most=MAX_GLOBS)),
            mask=tuple(fields.texts("mask", [], most=MAX_GLOBS)),
            protected_spec=tuple(fields.texts("protected_spec", [], most=MAX_GLOBS)),
            dependency_spec=tuple(fields.texts("dependency_spec", [], most=MAX_GLOBS)),
            locked=fields.flag("locked", False),
            parent=None if fields.null("parent") else fields.text("parent"),
        )
        digest = Digest.parse(fields.text("digest"))
    if digest.algorithm != "sha256":
        raise DataError(f"{_CODE}.value", f"digest of {what}", expected="sha256", found=digest.algorithm)
    _check(facts)
    return facts, digest


def _check(facts: Facts) -> None:
    for what, value, pattern in (("name", facts.name, _NAME), ("version", facts.version, _VERSION)):
        if not pattern.fullmatch(value):
            raise DataError(
                f"{_CODE}.value", f"the {what} of a module", expected=pattern.pattern, found=repr(value[:150])
            )
    if facts.architecture not in (*ARCHITECTURES, ANY_ARCHITECTURE):
        raise DataError(
            f"{_CODE}.value",
            f"the architecture of {facts.name}",
            found=repr(facts.architecture[:50]),
            expected=", ".join((*ARCHITECTURES, ANY_ARCHITECTURE)),
        )
