# SPDX-License-Identifier: MIT
"""The other stage 1: the module's `Containerfile`, built by podman or buildah where the operator has one of them.

The tree is what the last stage of the Containerfile has in `/work`, or all of it where there is no `/work`. It is given
PACKAGES (package_spec), and UBUNTU_DIGEST and APT_SNAPSHOT where the manifest has them, as build arguments.

Invariants: no time in the tree is later than that of the youngest file that a package brought; nothing is left in the
tool's storage but its own cache; what it says is in the log, also of a build that failed. What the Containerfile
downloads is its own affair: unlike a bootstrap from a lock, this is as reproducible as its author makes it.

Out of scope: installing the tools; several architectures on one machine (the tool needs qemu-user for it).

    root = make(Containerfile.of(folder, manifest, arch="arm64", options=()), folder, work, log, report=print)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from powernode.base.errors import MachineError, OperatorError
from powernode.composefs.tree import RegularFile, walk
from powernode.manifest.model import ModuleManifest
from powernode.module import _tools, dpkg
from powernode.module._tools import Report
from powernode.module.bootstrap import Root
from powernode.module.source import CONTAINERFILE as NAME
from powernode.module.source import read_file
from powernode.module.stages import rootfs_folders
from powernode.module.tree import NOTHING, TreeBuilder, digest_of, place_of, read_content

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Containerfile", "make"]

_CODE = "module.containerfile"
_WORK = b"/work"
_TOOLS = ("podman", "buildah")
_MAX_BYTES = 1 << 20
_ANY_TIME_S = (1 << 32) - 1
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
            content = read_file(folder / NAME, _MAX_BYTES + 1)
        except FileNotFoundError:
            raise OperatorError(
                f"{_CODE}.missing", f"{folder} has no {NAME}", hint="leave out --containerfile"
            ) from None
        if len(content) > _MAX_BYTES:
            raise OperatorError(f"{_CODE}.size", f"{folder / NAME} is too long", expected=f"at most {_MAX_BYTES} bytes")
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
    """The root, below `work`; what the tool says goes to `log`, which a failure leaves behind and names."""
    tool = next((name for name in _TOOLS if shutil.which(name)), None)
    if tool is None:
        raise MachineError(
            f"{_CODE}.tool",
            f"neither {' nor '.join(_TOOLS)} is here to build the {NAME} with",
            hint="apt-get install podman, or leave out --containerfile",
        )
    archive, image, container = (work / "root.tar").absolute(), work / "image-id", work / "container-id"
    log.write_bytes(b"")  # of an earlier time
    build = [tool, "build", "--file", str(folder / NAME), "--platform", f"linux/{stage.arch}"]
    build += [f"--build-arg={name}={value}" for name, value in stage.arguments]
    report(f"{tool} build")
    _run([*build, "--iidfile", str(image), str(folder)], log, report)
    report(f"{tool} export")
    making = [tool, "create" if tool == "podman" else "from", "--cidfile", str(container), image.read_text().strip()]
    _run([*making, "true"] if tool == "podman" else making, log, report)
    name = container.read_text().strip()
    if tool == "podman":
        exporting = [tool, "export", "--output", str(archive), name]
    else:
        exporting = ["sh", "-c", _EXPORT, "-", name, str(archive)]
        if os.geteuid():
            exporting = [tool, "unshare", *exporting]
    try:
        _run(exporting, log, report)
    finally:
        _run([tool, "rm", name], log, report)
    top = _WORK if _has_work(archive) else b""
    return Root(archive=archive, latest_s=_youngest(archive, top), top=top)


def _has_work(archive: Path) -> bool:
    with tarfile.open(archive, "r:") as tar:
        places = ((place_of(member), member.isdir()) for member in tar)
        return any(place.startswith(_WORK + b"/") or (place == _WORK and is_folder) for place, is_folder in places)


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


def _run(command: Sequence[str], log: Path, report: Report) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n")
    said = _tools.run(command, log, report=report, heading=_heading)
    if said is not None:
        raise MachineError(
            f"{_CODE}.failed", f"{' '.join(command[:2])} failed", found=said, hint=f"all it said is in {log}"
        )


def _heading(line: str) -> str | None:
    """podman and buildah say `STEP 2/5: RUN …`, and before it the stage where there are several."""
    return line if "STEP " in line[:12] else None
