# SPDX-License-Identifier: MIT
"""Stage 2 of a build: from an installed root and the module's own files to a module directory.

Invariants: nothing of the root is read but what ships and what dpkg knows; the result depends on the stage and the root
alone, never on a clock, a path, the user or the umask. No time in it is later than the root's youngest package; without
packages every time is 0.

Out of scope: installing (`bootstrap`), the artifact (`build`).

    composed = compose(stage, root, Path("build/amd64"), effective_priority=500_000)
    composed.module.digest, composed.report
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore
from powernode.composefs.tree import Directory
from powernode.manifest.globs import compile_globs
from powernode.module import directory as modules
from powernode.module import dpkg
from powernode.module.bootstrap import Root
from powernode.module.carve import Carved, CarveReport, Owners, Wanted, carve
from powernode.module.stages import Compose
from powernode.module.tree import NOTHING, Stored, TreeBuilder, paths_of, read_content, store_files

__all__ = ["Composed", "compose"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Composed:
    """`packages` are those installed in the root, shipped or not; `own` are the paths that rootfs/ gave; `sha256` is
    that of each file, by path; `latest_s` is the time of the youngest package."""

    module: modules.Module
    tree: Directory
    report: CarveReport
    packages: tuple[dpkg.Installed, ...]
    own: frozenset[bytes]
    sha256: Mapping[bytes, bytes]
    latest_s: int


def compose(stage: Compose, root: Root | None, directory: Path, *, effective_priority: int, jobs: int = 1) -> Composed:
    """The module in `directory`, which must not be there yet."""
    manifest = stage.manifest
    latest_s = root.latest_s if root is not None else 0
    packages = _installed(root) if root is not None else ()
    own = frozenset[bytes]().union(*map(paths_of, stage.folders))
    carved = carve(
        _tree(stage, root, latest_s),
        Wanted(file_spec=manifest.file_spec, mask=manifest.mask, waivers=manifest.carve_waivers),
        Owners(
            added={package.name: package.files for package in packages if package.name in stage.added},
            base=frozenset[bytes]().union(*(each.files for each in packages if each.name not in stage.added)),
            rootfs=own | {place.encode() for place in manifest.build.directories},
        ),
    )
    stored: list[Stored] = []
    module = modules.write(directory, _facts(stage, carved, effective_priority), _fill(carved.tree, stored, jobs))
    return Composed(
        module=module,
        tree=stored[0].tree,
        report=carved.report,
        packages=packages,
        own=own,
        sha256=stored[0].sha256,
        latest_s=latest_s,
    )


def _tree(stage: Compose, root: Root | None, latest_s: int) -> Directory:
    build = stage.manifest.build
    tree = TreeBuilder(latest_s=latest_s)
    if root is not None:
        tree.add_tar(root.archive, leave_out=compile_globs(build.remove), keep=compile_globs(build.keep), top=root.top)
    for place in build.directories:
        tree.add_directory(place.encode())
    for folder in stage.folders:
        tree.add_folder(folder)
    return tree.freeze()


def _installed(root: Root) -> tuple[dpkg.Installed, ...]:
    """What dpkg knows of the root as it was installed, whatever is removed from it later."""
    whole = TreeBuilder(latest_s=root.latest_s)
    whole.add_tar(root.archive, leave_out=NOTHING, keep=NOTHING, top=root.top)
    database = dpkg.collect(whole.freeze(), read_content)
    if database is None:
        return ()
    return dpkg.installed(database.status, database.lists, database.copyrights, database.diversions)


def _fill(tree: Directory, stored: list[Stored], jobs: int) -> modules.Fill:
    def fill(store: ObjectStore) -> bytes:
        with store.batch(jobs=jobs) as batch:
            stored.append(store_files(tree, batch))
        return images.from_tree(stored[0].tree, min_version=modules.MIN_VERSION)

    return fill


def _facts(stage: Compose, carved: Carved, effective_priority: int) -> modules.Facts:
    manifest = stage.manifest
    return modules.Facts(
        name=manifest.name,
        version=stage.version,
        architecture=stage.arch,
        effective_priority=effective_priority,
        file_spec=carved.file_spec,
        mask=manifest.mask,
        protected_spec=manifest.protected_spec,
        dependency_spec=manifest.dependency_spec,
    )
