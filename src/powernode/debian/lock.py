# SPDX-License-Identifier: MIT
"""The lock: which Debian packages, by version and SHA-256, an architecture's images are made from.

Invariants: one lock is one suite and one architecture, and a package name means one package in all of its groups.
Reading is strict and bounded; `parse(encode(lock)) == lock`, and equal locks have equal bytes. No address of an
archive is in it, only the path below one, so any mirror or snapshot can serve it.

Groups: `initramfs` (what the initramfs copies from, and what runs its Python natively on a build host of that
architecture), `kernel-cloud` and `kernel-generic` (one kernel each), `system-base` (a closure that installs alone).
A module's own lock has others (module.lock), and says in `requests` what each of them was asked for, so that a lock
older than the request is seen.

Out of scope: what belongs into a group (image.packages, module.lock), finding versions (debian.apt), downloading
(debian.inputs).

    lock = parse(Path("initramfs/lock/amd64.json").read_bytes())
    lock.package("libc6").version
    [package.name for package in lock.group("kernel-cloud")]
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from powernode.base.canonical import decode
from powernode.base.errors import DataError, OperatorError
from powernode.base.fields import Fields

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["ARCHITECTURES", "Lock", "LockedPackage", "changes", "encode", "parse", "path_of"]

ARCHITECTURES = ("amd64", "arm64")
_VERSION = 1
_MAX_BYTES = 4 << 20
_MAX_PACKAGES = 10_000
_PATTERNS = {
    "name": re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}"),
    "version": re.compile(r"(?:[0-9]{1,4}:)?[A-Za-z0-9][A-Za-z0-9.+~-]{0,127}"),
    "architecture": re.compile(r"[a-z0-9-]{1,32}"),
    "filename": re.compile(r"pool(?:/[A-Za-z0-9][A-Za-z0-9+.~%_-]{0,254}){1,8}\.deb"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
}
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One .deb; `filename` is its path below an archive's address, `size` is in bytes."""

    name: str
    version: str
    architecture: str
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Packages by group, sorted by name within each; `requests` are the names a group was made from, where kept."""

    arch: str
    suite: str
    groups: Mapping[str, tuple[LockedPackage, ...]]
    requests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def group(self, name: str) -> tuple[LockedPackage, ...]:
        if name not in self.groups:
            raise OperatorError(
                "debian.lock.group",
                f"the lock for {self.arch} has no group {name}",
                expected=", ".join(sorted(self.groups)),
                hint="renew the lock: powernode image lock, or powernode module lock for a module's own",
            )
        return self.groups[name]

    def package(self, name: str) -> LockedPackage:
        for packages in self.groups.values():
            for package in packages:
                if package.name == name:
                    return package
        raise OperatorError(
            "debian.lock.package",
            f"the lock for {self.arch} has no package {name}",
            hint=f"add it to image/packages.py, then powernode image lock --arch {self.arch}",
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the lock's bytes, in hexadecimal digits."""
        return sha256(encode(self)).hexdigest()


def path_of(arch: str) -> Path:
    """Where the lock of an architecture is in a checkout, relative to its top."""
    return Path("initramfs/lock") / f"{arch}.json"


def encode(lock: Lock) -> bytes:
    groups = {
        name: [asdict(package) for package in sorted(packages, key=lambda package: package.name)]
        for name, packages in lock.groups.items()
    }
    content: dict[str, object] = {"version": _VERSION, "arch": lock.arch, "suite": lock.suite, "groups": groups}
    if lock.requests:
        content["requests"] = {name: sorted(names) for name, names in lock.requests.items()}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def parse(data: bytes) -> Lock:
    """The lock in these bytes."""
    content = decode(data, what="the lock", max_bytes=_MAX_BYTES)
    with Fields(content, code="debian.lock", what="the lock") as fields:
        fields.integer("version", least=_VERSION, most=_VERSION)
        arch, suite = fields.text("arch"), _matching(fields, "suite", _WORD)
        if arch not in ARCHITECTURES:
            raise fields.refusal("value", "arch of the lock", expected=" or ".join(ARCHITECTURES), found=arch[:64])
        with fields.fields("groups") as listed:
            groups = {name: _group(listed, name, arch) for name in _names(content, "groups", listed)}
        requests: dict[str, tuple[str, ...]] = {}
        if fields.has("requests"):
            with fields.fields("requests") as asked:
                requests = {name: _request(asked, name, groups) for name in _names(content, "requests", asked)}
    _consistent(groups.values())
    return Lock(arch=arch, suite=suite, groups=groups, requests=requests)


def changes(old: Lock | None, new: Lock) -> list[tuple[str, str | None, str | None]]:
    """Name, old version, new version of what differs; also where only the bytes do. None is absence."""
    before = _by_name(old.groups.values()) if old is not None else {}
    after = _by_name(new.groups.values())
    return [
        (name, _version(before.get(name)), _version(after.get(name)))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _version(package: LockedPackage | None) -> str | None:
    return package.version if package is not None else None


def _by_name(groups: Iterable[tuple[LockedPackage, ...]]) -> dict[str, LockedPackage]:
    return {package.name: package for packages in groups for package in packages}


def _names(content: Json, member: str, listed: Fields) -> list[str]:
    """The groups' names, which are the only free keys of the format."""
    inner = content[member] if isinstance(content, dict) else None
    names = list(inner) if isinstance(inner, dict) else []
    for name in names:
        if not _WORD.fullmatch(name):
            raise listed.refusal("value", "the name of a group", expected=_WORD.pattern, found=repr(name[:64]))
    return names


def _group(listed: Fields, group: str, arch: str) -> tuple[LockedPackage, ...]:
    packages = tuple(_package(fields, arch) for fields in listed.each(group, most=_MAX_PACKAGES))
    names = [package.name for package in packages]
    if names != sorted(set(names)):
        raise listed.refusal("order", f"the packages of {group} are not sorted, or one comes twice")
    return packages


def _request(asked: Fields, group: str, groups: Mapping[str, object]) -> tuple[str, ...]:
    names = asked.texts(group, most=_MAX_PACKAGES, longest=128)
    if group not in groups or names != sorted(set(names)):
        raise asked.refusal("order", f"what {group} was asked for is not sorted, or {group} is no group")
    return tuple(names)


def _package(fields: Fields, arch: str) -> LockedPackage:
    package = LockedPackage(
        **{name: _matching(fields, name, pattern) for name, pattern in _PATTERNS.items()},
        size=fields.integer("size", least=1, most=(1 << 32) - 1),
    )
    if package.architecture not in (arch, "all"):
        raise fields.refusal(
            "architecture",
            f"{package.name} is for another architecture than the lock",
            expected=f"{arch} or all",
            found=package.architecture,
        )
    return package


def _matching(fields: Fields, name: str, pattern: re.Pattern[str]) -> str:
    text = fields.text(name)
    if not pattern.fullmatch(text):
        raise fields.refusal(
            "value", f"{name} of {fields.what} cannot be that", expected=pattern.pattern, found=repr(text[:200])
        )
    return text


def _consistent(groups: Iterable[tuple[LockedPackage, ...]]) -> None:
    seen: dict[str, LockedPackage] = {}
    for package in (package for packages in groups for package in packages):
        if seen.setdefault(package.name, package) != package:
            raise DataError("debian.lock.conflict", f"two groups disagree about {package.name}")
