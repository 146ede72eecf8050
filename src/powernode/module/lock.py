# SPDX-License-Identifier: MIT
"""A module's pins: `packages.lock/ARCH.json` beside its manifest, one lock an architecture.

Invariants: group `base` is what every node's base system has, group `module` is that and what `package_spec` asks for
(with all they need), and `module-OPTION` the same for an option of the build; so the difference is what the module
adds. A lock says what it was asked for, and one that no longer fits the manifest is refused, not silently used. Nothing
but the lock and the archive's files is needed to build the same module again, anywhere.

Out of scope: the format (debian.lock), downloading (debian.inputs).

    lock = resolve(PrivateApt("trixie", "amd64", folder), Request(suite="trixie", packages=("redis-server",)), "amd64")
    added(lock)                                   # the names of the packages that the base system does not have
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from powernode.base.durable import write_durably
from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.debian import lock as locks
from powernode.debian.basesystem import SYSTEM_BASE
from powernode.debian.lock import Lock, LockedPackage
from powernode.manifest.model import ModuleManifest
from powernode.module.source import read_file

__all__ = ["BASE", "COMPONENTS", "FOLDER", "MODULE", "Request", "added", "archive_for", "content", "group"]
__all__ += ["packages", "path_of", "read", "resolve", "write"]

FOLDER = "packages.lock"
COMPONENTS = ("main", "non-free-firmware")
"""Of the archive: what Debian's own installer takes packages from; firmware of boards is in the second."""
BASE, MODULE = "base", "module"

_CODE = "module.lock"
_FOUND_CHARACTERS = 500
_READ_BYTES = 8 << 20
"""More than debian.lock takes: a longer file is for it to refuse."""


class Oracle(Protocol):
    """What debian.apt.PrivateApt knows."""

    def closure(self, requests: Sequence[str]) -> list[LockedPackage]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a manifest asks for: `options` by name."""

    suite: str
    packages: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: ModuleManifest) -> Request:
        options = {option.name: option.packages for option in manifest.build.options}
        return cls(suite=manifest.build.suite, packages=manifest.package_spec, options=options)

    def by_group(self) -> dict[str, tuple[str, ...]]:
        wanted = {MODULE: self.packages}
        wanted |= {group(option): (*self.packages, *more) for option, more in self.options.items()}
        return {name: tuple(sorted(set(names))) for name, names in wanted.items()}


def group(option: str) -> str:
    return f"{MODULE}-{option}"


def path_of(folder: Path, arch: str) -> Path:
    return folder / FOLDER / f"{arch}.json"


def resolve(oracle: Oracle, request: Request, arch: str) -> Lock:
    """The lock of what the archive has now."""
    base = oracle.closure(SYSTEM_BASE)
    installed = [package.name for package in base]
    groups = {BASE: tuple(base)}
    for name, wanted in request.by_group().items():
        try:
            # By name and not by pattern: what the base system has stays as it is, and the module comes on top of it.
            found = oracle.closure(sorted({*installed, *wanted}))
        except MachineError as error:
            if error.code != "debian.apt.failed":
                raise
            raise OperatorError(
                f"{_CODE}.unresolved",
                f"the packages of {name} cannot be installed together with the base system of {request.suite}/{arch}",
                expected="packages of the archive that go together: " + ", ".join(wanted),
                found=(error.found or "")[-_FOUND_CHARACTERS:],
                hint="is each name right, and in this release?",
            ) from error
        # To apt-get, what is no package may be a pattern (`python3.9`) or an order to remove one (`nginx-`).
        if strange := set(wanted) - {package.name for package in found}:
            raise OperatorError(
                f"{_CODE}.unresolved",
                f"not all of what {name} asks for is a package of {request.suite}/{arch}",
                expected="names of packages, not of what packages provide",
                found=", ".join(sorted(strange)),
                hint="is each name right, and in this release?",
            )
        groups[name] = tuple(found)
    return Lock(arch=arch, suite=request.suite, groups=groups, requests=request.by_group())


def read(folder: Path, request: Request, arch: str) -> Lock | None:
    """The module's lock for an architecture if it has one; one that is not for this request is refused."""
    path = path_of(folder, arch)
    try:
        lock = locks.parse(content(path))
    except FileNotFoundError:
        return None
    if lock.arch != arch or {BASE, MODULE} - lock.groups.keys():
        raise DataError(
            f"{_CODE}.other",
            f"{path} is no module's lock for {arch}",
            expected=f"arch {arch}, groups {BASE} and {MODULE}",
            found=f"arch {lock.arch}, groups {', '.join(sorted(lock.groups))}",
        )
    differences = _differences(lock, request)
    if differences:
        raise OperatorError(
            f"{_CODE}.stale",
            f"{path} is not the lock of this manifest",
            found="; ".join(differences),
            hint=f"powernode module lock {folder} --arch {arch}",
        )
    return lock


def content(path: Path) -> bytes:
    """What is in a lock's place; a link or pipe there is refused."""
    return read_file(path, _READ_BYTES)


def write(folder: Path, lock: Lock) -> Path:
    path = path_of(folder, lock.arch)
    data = locks.encode(lock)
    locks.parse(data)  # what is written can be read
    path.parent.mkdir(exist_ok=True)
    write_durably(str(path), data, mode=0o644)
    return path


def packages(lock: Lock, options: Sequence[str] = ()) -> tuple[LockedPackage, ...]:
    """Everything to install, by name."""
    found = {package.name: package for package in lock.group(MODULE)}
    for option in options:
        found |= {package.name: package for package in lock.group(group(option))}
    return tuple(found[name] for name in sorted(found))


def added(lock: Lock, options: Sequence[str] = ()) -> frozenset[str]:
    """The names of what the base system does not have."""
    base = {package.name for package in lock.group(BASE)}
    return frozenset(package.name for package in packages(lock, options)) - base


def archive_for(snapshot: str | None, archive: str | None) -> str | None:
    """The archive to ask: the one the operator names, or None for that of this machine. Where the manifest pins the
    archive's state (`build.apt_snapshot`), it has to be named, for mirrors have only the newest one."""
    if snapshot is None or snapshot == "none":
        return archive
    if archive is None or snapshot not in archive.split("/"):
        raise OperatorError(
            f"{_CODE}.snapshot",
            f"the manifest pins the archive as it was at {snapshot} (build.apt_snapshot)",
            expected=f"--archive=http://HOST/archive/debian/{snapshot}, of a service that keeps snapshots",
            found=archive or "no --archive",
            hint="or take apt_snapshot out of the manifest: packages.lock pins every package",
        )
    return archive


def _differences(lock: Lock, request: Request) -> list[str]:
    found = [f"it is of {lock.suite}, build.suite is {request.suite}"] if lock.suite != request.suite else []
    wanted = request.by_group()
    for name in sorted(wanted.keys() | lock.requests.keys()):
        asked, now = set(lock.requests.get(name, ())), set(wanted.get(name, ()))
        if name not in wanted:
            found.append(f"{name} is no option any more")
        elif name not in lock.requests or name not in lock.groups:
            found.append(f"it has no {name}")
        else:
            found += [f"{package} is not asked for any more" for package in sorted(asked - now)]
            found += [f"{package} is not in it" for package in sorted(now - asked)]
    return found
