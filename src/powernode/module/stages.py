# SPDX-License-Identifier: MIT
"""The stages of a build as data: what will be done for one architecture, said before it is done, and one digest.

    1. root      the packages of the lock in a root of their own (`bootstrap.Bootstrap`), or what the Containerfile
                 makes (`containerfile.Containerfile`); nothing for a module that asks for no packages
    2. compose   `build.remove` and `build.keep`, `rootfs/` on top, carved by the globs, as a module directory
    3. pack      the layer
    4. publish   the OCI layout with SBOM, provenance and perhaps VEX, for all architectures together

Invariants: whatever can change a byte of the result is in the plan, by version or digest; making a plan downloads
nothing and builds nothing; the same folder, lock and options give the same plan on all machines.

Out of scope: performing the stages (`build`).

    plan = Plan(root=bootstrap, compose=compose, pack=Pack(level=12))
    print(plan.describe()); plan.digest
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from powernode import __version__
from powernode.base import canonical
from powernode.base.errors import OperatorError
from powernode.manifest.model import ModuleManifest, to_document
from powernode.module.source import ROOTFS
from powernode.module.tree import digest_of

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Compose", "Pack", "Plan", "Publish", "Stage", "check_options", "rootfs_folders"]
__all__ += ["version_with"]


class Stage(Protocol):
    """One thing to do: a frozen dataclass that says all it depends on."""

    def describe(self) -> str: ...

    def as_dict(self) -> dict[str, Json]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """Stage 2. `added` are the packages that the base system does not have; `folders` are laid on top, in their order;
    `version` is that of the result (`version_with`).

    Where the folders are is not part of the plan; what is in them is (`files`).
    """

    manifest: ModuleManifest
    version: str
    arch: str
    options: tuple[str, ...]
    added: frozenset[str]
    folders: tuple[Path, ...]
    files: tuple[str, ...]

    @classmethod
    def of(
        cls,
        folder: Path,
        manifest: ModuleManifest,
        *,
        version: str,
        arch: str,
        added: frozenset[str],
        options: tuple[str, ...] = (),
    ) -> Compose:
        """The stage for a module's folder as it is now."""
        check_options(manifest, options)
        folders = rootfs_folders(folder, options)
        return cls(
            manifest=manifest,
            version=version,
            arch=arch,
            options=options,
            added=added,
            folders=folders,
            files=tuple(digest_of(each) for each in folders),
        )

    def describe(self) -> str:
        globs = self.manifest.file_spec
        what = "what the packages add and rootfs/" if globs is None else f"what {len(globs)} globs include"
        return f"lay {' and '.join(folder.name for folder in self.folders)} on top, and take {what}"

    def as_dict(self) -> dict[str, Json]:
        return {
            "manifest": to_document(self.manifest),
            "version": self.version,
            "arch": self.arch,
            "options": list(self.options),
            "added": [*sorted(self.added)],
            "files": list(self.files),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Stage 3. `level` is zstd's."""

    level: int

    def describe(self) -> str:
        return f"pack the files as zstd:chunked, level {self.level}"

    def as_dict(self) -> dict[str, Json]:
        return {"level": self.level}


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Stage 4, for all architectures together. What is said about the manifests is no part of them or of the plan, nor
    is whether there are `advisories` to make VEX from."""

    advisories: bool = False

    def describe(self) -> str:
        vex = ", and VEX where the advisories name a package" if self.advisories else ""
        return f"write the OCI layout, with SBOM and provenance{vex}"

    def as_dict(self) -> dict[str, Json]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done for one architecture; `root` is None for a module that asks for no packages."""

    root: Stage | None
    compose: Compose
    pack: Pack
    publish: Publish = field(default_factory=Publish)

    @property
    def stages(self) -> tuple[Stage, ...]:
        first = () if self.root is None else (self.root,)
        return (*first, self.compose, self.pack, self.publish)

    def as_dict(self) -> dict[str, Json]:
        return {
            "powernode": __version__,
            "name": self.compose.manifest.name,
            "version": self.compose.version,
            "arch": self.compose.arch,
            "stages": [{"stage": type(stage).__name__, **stage.as_dict()} for stage in self.stages],
        }

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical.encode(self.as_dict())).hexdigest()

    def describe(self) -> str:
        what = self.compose
        lines = [f"{what.manifest.name} {what.version} for {what.arch}, plan {self.digest}"]
        return "\n".join(lines + [f"  {number}. {stage.describe()}" for number, stage in enumerate(self.stages, 1)])


def check_options(manifest: ModuleManifest, options: Sequence[str]) -> None:
    """Refuse an option that the manifest does not have."""
    known = [option.name for option in manifest.build.options]
    for option in options:
        if option not in known:
            raise OperatorError(
                "module.build.option",
                f"{manifest.name} has no option {option}",
                expected=", ".join(sorted(known)) or "none",
            )


def version_with(version: str, options: Sequence[str]) -> str:
    """The version of a build with options: they are build metadata of it."""
    if not options:
        return version
    return f"{version}{'.' if '+' in version else '+'}{'.'.join(options)}"


def rootfs_folders(folder: Path, options: tuple[str, ...]) -> tuple[Path, ...]:
    """What is laid on top: `rootfs/`, then `rootfs-OPTION/` of each option; they need not be there."""
    return (folder / ROOTFS, *(folder / f"{ROOTFS}-{option}" for option in options))
