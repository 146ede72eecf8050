# SPDX-License-Identifier: MIT
"""The other stage 1: the module's `Containerfile`, built by podman or buildah where the operator has one of them.

The tree is what the last stage of the Containerfile has in `/work`, or all of it where there is no `/work`. It is given
PACKAGES (package_spec), and UBUNTU_DIGEST and APT_SNAPSHOT where the manifest has them, as build arguments.

Invariants: no time in the tree is later than that of the youngest file that a package brought; nothing is left in the
tool's storage but its own cache. What the Containerfile downloads is its own affair: unlike a bootstrap from a lock,
this is as reproducible as its author makes it.

Out of scope: installing the tools; several architectures on one machine (the tool needs qemu-user for it).

    root = make(Containerfile.of(folder, manifest, arch="arm64", options=()), folder, work, log, report=print)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from powernode.base.errors import MachineError, OperatorError
from powernode.composefs.tree import RegularFile, walk
from powernode.manifest.model import ModuleManifest
from powernode.module import dpkg
from powernode.module.bootstrap import Root
from powernode.module.stages import Report, rootfs_folders
from powernode.module.tree import NOTHING, TreeBuilder, digest_of, read_content

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Containerfile", "make"]

NAME = "Containerfile"
_CODE = "module.containerfile"
_WORK = "work"
_TOOLS = ("podman", "buildah")
_ANY_TIME_S = (1 << 32) - 1
_SHOWN_CHARACTERS = 1500
# mount and tar belong into one process: without root, what is mounted is seen only there.
_EXPORT = """place=$(buildah mount "$1") || exit
tar -C "$place" --format=pax --numeric-owner --sort=name --xattrs --xattrs-include='*' -cf "$2" .
status=$?; buildah umount "$1" >/dev/null; exit $status"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Containerfile:
    """What goes in: the Containerfile and rootfs/ by digest, and the build arguments."""

    arch: str
    content: str
    files: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, folder: Path, manifest: ModuleManifest, *, arch: str, options: tuple[str, ...]) -> Containerfile:
        """The stage for a module's folder as it is now."""
        try:
            content = (folder / NAME).read_bytes()
        except FileNotFoundError:
            raise OperatorError(
                f"{_CODE}.missing", f"{folder} has no {NAME}", hint="leave out --containerfile"
            ) from None
        if manifest.file_spec is None:
            raise OperatorError(
                f"{_CODE}.file-spec",
                f"only packages.lock says which packages are the base system's, and a {NAME} is built without it",
                expected="a file_spec in the manifest",
                hint="name what the module owns in file_spec, or leave out --containerfile",
            )
        extra = [package for option in manifest.build.options if option.name in options for package in option.packages]
        given = {"PACKAGES": " ".join((*manifest.package_spec, *extra))}
        for name, value in (
            ("UBUNTU_DIGEST", manifest.build.ubuntu_digest),
            ("APT_SNAPSHOT", manifest.build.apt_snapshot),
        ):
            if value:
                given[name] = value
        return cls(
            arch=arch,
            content=hashlib.sha256(content).hexdigest(),
            files=tuple(digest_of(each) for each in rootfs_folders(folder, options)),
            arguments=tuple(given.items()),
        )

    def describe(self) -> str:
        return f"build the {NAME} for {self.arch}"

    def as_dict(self) -> dict[str, Json]:
        return {
            "arch": self.arch,
            "content": self.content,
            "files": list(self.files),
            "arguments": dict(self.arguments),
        }


def make(stage: Containerfile, folder: Path, work: Path, log: Path, *, report: Report) -> Root:
    """The root, below `work`; what the tool says goes to `log`."""
    tool = next((name for name in _TOOLS if shutil.which(name)), None)
    if tool is None:
        raise MachineError(
            f"{_CODE}.tool",
            f"neither {' nor '.join(_TOOLS)} is here to build the {NAME} with",
            hint="apt-get install podman, or leave out --containerfile",
        )
    archive, identifier = (work / "root.tar").absolute(), work / "image-id"
    build = [tool, "build", "--file", str(folder / NAME), "--platform", f"linux/{stage.arch}"]
    build += [f"--build-arg={name}={value}" for name, value in stage.arguments]
    report(f"{tool} build")
    _run([*build, "--iidfile", str(identifier), str(folder)], log)
    image = identifier.read_text().strip()
    report(f"{tool} export")
    if tool == "podman":
        container = _run([tool, "create", image, "true"], log)
        exporting = [tool, "export", "--output", str(archive), container]
    else:
        container = _run([tool, "from", image], log)
        exporting = ["sh", "-c", _EXPORT, "-", container, str(archive)]
        if os.geteuid():
            exporting = [tool, "unshare", *exporting]
    try:
        _run(exporting, log)
    finally:
        _run([tool, "rm", container], log)
    top = b"/" + _WORK.encode() if _has_work(archive) else b""
    return Root(archive=archive, latest_s=_youngest(archive, top), top=top)


def _has_work(archive: Path) -> bool:
    with tarfile.open(archive, "r:") as tar:
        return any(member.name.strip("./").split("/")[0] == _WORK for member in tar)


def _youngest(archive: Path, top: bytes) -> int:
    """When the youngest file of a package was made; 0 where no package is."""
    builder = TreeBuilder(latest_s=_ANY_TIME_S)
    builder.add_tar(archive, leave_out=NOTHING, keep=NOTHING, top=top)
    tree = builder.freeze()
    database = dpkg.collect(tree, read_content)
    if database is None:
        return 0
    packages = dpkg.installed(database.status, database.lists, database.copyrights, database.diversions)
    owned = frozenset[bytes]().union(*(package.files for package in packages))
    return max((n.mtime_s for path, n in walk(tree) if path in owned and isinstance(n, RegularFile)), default=0)


def _run(command: Sequence[str], log: Path) -> str:
    """What the last line of its output says; everything goes to the log."""
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n{result.stdout}{result.stderr}")
    if result.returncode:
        raise MachineError(
            f"{_CODE}.failed",
            f"{' '.join(command[:2])} failed",
            found=result.stderr.strip()[-_SHOWN_CHARACTERS:],
        )
    lines = result.stdout.strip().splitlines()
    return lines[-1] if lines else ""
