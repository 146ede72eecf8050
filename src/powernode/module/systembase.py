# SPDX-License-Identifier: MIT
"""A base system as a module: Debian packages from the lock, installed by mmdebstrap, stripped, with files on top.

Invariants: nothing is installed that is not in the lock; the same packages and the same recipe give the same image
digest on any machine, whoever builds and wherever; nothing of the builder (host name, resolver, logs, caches, lists) is
in it. No time in the tree is later than the youngest package's own.

A recipe is a folder: `recipe.json` and `rootfs/`, whose files belong to root whoever checked them out. `remove` names
what is left out of the installed packages, `keep` what stays all the same; `options` name further packages, and may
have files of their own in `rootfs-OPTION/`. The lock's group for a recipe is its name, for one with options their
names behind it (`group`).

Another architecture than the machine's runs its maintainer scripts through qemu-user, which `binfmt.ensure` checks.

    recipe = read_recipe(Path("examples/modules/system-base"))
    debs = [inputs.deb(package.name) for package in lock.group(group(recipe, []))]
    module = build(recipe, debs, arch="arm64", directory=Path("system-base-arm64"), scratch=Path("/var/tmp"))
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from powernode.base import canonical
from powernode.base.errors import MachineError, OperatorError
from powernode.base.fields import Fields
from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore
from powernode.debian import binfmt
from powernode.debian.repository import newest, write_repository
from powernode.manifest.globs import compile_globs
from powernode.module import directory as modules
from powernode.module.tree import TreeBuilder

__all__ = ["Recipe", "build", "group", "read_recipe"]

_CODE = "module.base"
_MAX_RECIPE_BYTES = 1 << 20
_MAX_NAMES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    version: str
    effective_priority: int
    packages: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    remove: tuple[str, ...]
    keep: tuple[str, ...]
    directories: tuple[str, ...]
    folder: Path

    def wanted(self, options: Sequence[str]) -> tuple[str, ...]:
        """The packages to ask for; what they depend on comes along."""
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            raise OperatorError(
                f"{_CODE}.option",
                f"{self.name} has no option {unknown[0]}",
                expected=", ".join(sorted(self.options)) or "none",
            )
        return (*self.packages, *(package for option in options for package in self.options[option]))


def read_recipe(folder: Path) -> Recipe:
    path = folder / "recipe.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"{_CODE}.recipe", f"{folder} is no recipe", expected="recipe.json, rootfs/") from error
    document = canonical.decode(data, what=str(path), max_bytes=_MAX_RECIPE_BYTES)
    with Fields(document, code=f"{_CODE}.recipe", what=str(path)) as fields:
        options = fields.items("options", [], most=100)
        return Recipe(
            name=fields.text("name"),
            version=fields.text("version"),
            effective_priority=fields.integer("effective_priority", least=0),
            packages=tuple(fields.texts("packages", most=_MAX_NAMES)),
            options=dict(_option(option, str(path)) for option in options),
            remove=tuple(fields.texts("remove", [], most=_MAX_NAMES)),
            keep=tuple(fields.texts("keep", [], most=_MAX_NAMES)),
            directories=tuple(fields.texts("directories", [], most=_MAX_NAMES)),
            folder=folder,
        )


def _option(value: canonical.Json, what: str) -> tuple[str, tuple[str, ...]]:
    with Fields(value, code=f"{_CODE}.recipe", what=f"an option of {what}") as fields:
        return fields.text("name"), tuple(fields.texts("packages", most=_MAX_NAMES))


def group(recipe: Recipe, options: Sequence[str]) -> str:
    """The group of the lock that has the packages: `system-base`, `system-base-ssh`."""
    return "-".join((recipe.name, *options))


def build(
    recipe: Recipe, debs: Sequence[Path], *, arch: str, directory: Path, scratch: Path, options: Sequence[str] = ()
) -> modules.Module:
    """The module in `directory`, which must not be there yet; `debs` have been checked against the lock."""
    wanted = recipe.wanted(options)
    modules.refuse_existing(directory)
    binfmt.ensure(arch)
    latest_s = newest(debs)
    with tempfile.TemporaryDirectory(prefix="powernode-base-", dir=scratch) as text:
        work = Path(text)
        work.chmod(0o755)  # without root, mmdebstrap reads the packages as another user
        repository = work / "repository"
        repository.mkdir()
        write_repository(debs, repository)
        archive = work / "root.tar"
        _bootstrap(repository, wanted, arch, archive, latest_s)
        facts = modules.Facts(
            name=recipe.name,
            version="+".join((recipe.version, *options)),
            architecture=arch,
            effective_priority=recipe.effective_priority,
        )
        folders = [recipe.folder / "rootfs", *(recipe.folder / f"rootfs-{option}" for option in options)]
        return modules.write(directory, facts, _fill(recipe, folders, archive, latest_s))


def _fill(recipe: Recipe, folders: Sequence[Path], archive: Path, latest_s: int) -> Callable[[ObjectStore], bytes]:
    def fill(store: ObjectStore) -> bytes:
        with store.batch() as batch:
            tree = TreeBuilder(batch, latest_s=latest_s)
            tree.add_tar(archive, leave_out=compile_globs(recipe.remove), keep=compile_globs(recipe.keep))
            for place in recipe.directories:
                tree.add_directory(os.fsencode(place))
            for folder in folders:
                tree.add_folder(folder)
        return images.from_tree(tree.freeze(), min_version=modules.MIN_VERSION)

    return fill


def _bootstrap(repository: Path, wanted: Sequence[str], arch: str, archive: Path, latest_s: int) -> None:
    if shutil.which("mmdebstrap") is None:
        raise MachineError(f"{_CODE}.tool", "mmdebstrap is not here", hint="apt-get install mmdebstrap")
    command = [
        *("mmdebstrap", "--quiet", "--variant=essential", "--format=tar", f"--architectures={arch}"),
        f"--include={','.join(wanted)}",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=force-unsafe-io",  # a power cut means building again anyway
        # The files are those of the lock, whose digests were checked; there is nobody who could have signed the index.
        *("", str(archive), f"deb [trusted=yes] copy:{repository} ./"),
    ]
    environment = {
        "PATH": os.defpath + ":/usr/sbin:/sbin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": str(archive.parent),
        "SOURCE_DATE_EPOCH": str(latest_s),
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, umask=0o022, check=False)
    if result.returncode:
        raise MachineError(
            f"{_CODE}.mmdebstrap",
            f"mmdebstrap could not install the packages for {arch}",
            found=result.stderr.strip()[-1500:],
        )
