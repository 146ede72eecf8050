# SPDX-License-Identifier: MIT
"""The locked packages as files on this machine: downloaded once, checked always, unpacked once.

Invariants: what `deb` returns has the lock's size and SHA-256; what `tree` returns was unpacked from such a file.
Names in the cache are digests, and things get their name only when they are complete, under a lock: any number of
processes may use one cache. The archive is asked only for what the cache lacks. Everything works without root.

Out of scope: what the cache's owner does to unpacked trees; removing what no lock needs any more.

    inputs = Inputs(lock, Path(".cache"))
    inputs.tree("libc6") / "usr/lib"          # treat as read-only; links may be absolute: see archive.deb
    [record.name for record in inputs.used]
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from hashlib import file_digest
from pathlib import Path

from powernode.archive.deb import unpack
from powernode.base.errors import DataError, OperatorError
from powernode.debian import apt
from powernode.debian._fetch import GoneError, fetch
from powernode.debian.claim import FILE, FOLDER, claim, empty
from powernode.debian.lock import Lock, LockedPackage

__all__ = ["Inputs", "default_cache"]


def default_cache(environment: Mapping[str, str]) -> Path:
    """$POWERNODE_CACHE, else where a user's caches are."""
    if chosen := environment.get("POWERNODE_CACHE"):
        return Path(chosen).absolute()
    if folder := environment.get("XDG_CACHE_HOME"):
        return Path(folder) / "powernode"
    if home := environment.get("HOME"):
        return Path(home) / ".cache" / "powernode"
    raise OperatorError("debian.input.cache", "there is no place for downloads", hint="set POWERNODE_CACHE")


class Inputs:
    """Give `archive_url` to download from there; without it this machine's apt sources say where, when it is needed.

    `renew` is the command that renews the lock, for a hint.
    """

    def __init__(
        self,
        lock: Lock,
        cache: Path,
        archive_url: str | None = None,
        *,
        pause: Callable[[float], None] = time.sleep,
        newest: Callable[[str], str | None] | None = None,
        renew: str = "powernode image lock",
    ) -> None:
        self._lock = lock
        self._cache = cache
        self._archive_url = archive_url
        self._pause = pause
        self._newest = newest or self._ask_apt
        self._renew = renew
        self._used: dict[str, LockedPackage] = {}

    @property
    def lock(self) -> Lock:
        return self._lock

    @property
    def used(self) -> tuple[LockedPackage, ...]:
        """What was asked for so far, by name."""
        return tuple(self._used[name] for name in sorted(self._used))

    def deb(self, name: str) -> Path:
        """The package file, with the digest in the lock."""
        package = self._lock.package(name)
        self._used[name] = package
        place = self._cache / "debs" / f"{package.sha256}.deb"
        if _is(place, package):
            return place
        with claim(place, FILE) as part:
            if part is None and not _is(place, package):
                place.unlink(missing_ok=True)  # somebody damaged it; the archive has it still
                return self.deb(name)
            if part is not None:
                self._download(package, part)
                os.chmod(part, 0o644)
                part.rename(place)
        return place

    def tree(self, name: str) -> Path:
        """The package's files, below one folder."""
        package = self._lock.package(name)
        self._used[name] = package
        place = self._cache / "trees" / package.sha256
        if place.is_dir():
            return place
        deb = self.deb(name)
        with claim(place, FOLDER) as part:
            if part is None:
                return place
            empty(part)  # a process that died may have left something
            try:
                with deb.open("rb") as package_file:
                    unpack(package_file, part)
            except BaseException:
                empty(part)
                part.rmdir()
                raise
            part.rename(place)
        return place

    def _download(self, package: LockedPackage, part: Path) -> None:
        base = self._base(package)
        try:
            with part.open("r+b") as file:
                fetch(f"{base.rstrip('/')}/{package.filename}", package, file, self._pause)
        except DataError:
            part.unlink()
            raise
        except GoneError:
            part.unlink()
            newest = self._newest(package.name)
            raise OperatorError(
                "debian.input.gone",
                f"the archive no longer serves {package.name} {package.version}",
                expected=package.filename,
                found=f"{package.name} {newest}" if newest else f"no {package.name} at all",
                hint=f"{self._renew} --arch {self._lock.arch}, or name a snapshot with --archive",
            ) from None

    def _base(self, package: LockedPackage) -> str:
        if not apt.is_security_fix(package.filename):
            return self._archive_url or apt.machine_archive()
        base = apt.security_archive(self._archive_url)
        if base is None:
            raise OperatorError(
                "debian.input.security",
                f"{package.name} {package.version} is a security fix, and nobody says where those are",
                expected="an archive of security fixes in this machine's apt sources",
                hint="add one there, or name an archive whose address ends with /debian",
            )
        return base

    def _ask_apt(self, name: str) -> str | None:
        private = apt.PrivateApt(self._lock.suite, self._lock.arch, self._cache / "apt", self._archive_url)
        private.update()
        return private.newest(name)


def _is(path: Path, package: LockedPackage) -> bool:
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == package.size and (
                file_digest(file, "sha256").hexdigest() == package.sha256
            )
    except FileNotFoundError:
        return False
