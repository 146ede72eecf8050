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

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import file_digest
from pathlib import Path

from powernode.archive.deb import unpack
from powernode.base.errors import DataError, OperatorError
from powernode.debian import apt
from powernode.debian._fetch import GoneError, fetch
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
    """Give `archive_url` to download from there; without it this machine's apt sources say where, when it is needed."""

    def __init__(
        self,
        lock: Lock,
        cache: Path,
        archive_url: str | None = None,
        *,
        pause: Callable[[float], None] = time.sleep,
        newest: Callable[[str], str | None] | None = None,
    ) -> None:
        self._lock = lock
        self._cache = cache
        self._archive_url = archive_url
        self._pause = pause
        self._newest = newest or self._ask_apt
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
        with _claim(place, os.O_RDWR | os.O_CREAT) as part:
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
        with _claim(place, os.O_RDONLY | os.O_DIRECTORY) as part:
            if part is None:
                return place
            _empty(part)  # a process that died may have left something
            try:
                with deb.open("rb") as package_file:
                    unpack(package_file, part)
            except BaseException:
                _empty(part)
                part.rmdir()
                raise
            part.rename(place)
        return place

    def _download(self, package: LockedPackage, part: Path) -> None:
        base = self._archive_url or apt.machine_archive()
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
                hint=f"powernode image lock --arch {self._lock.arch}, or name a snapshot with --archive",
            ) from None

    def _ask_apt(self, name: str) -> str | None:
        private = apt.PrivateApt(self._lock.suite, self._lock.arch, self._cache / "apt", self._archive_url)
        private.update()
        return private.newest(name)


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _is(path: Path, package: LockedPackage) -> bool:
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == package.size and (
                file_digest(file, "sha256").hexdigest() == package.sha256
            )
    except FileNotFoundError:
        return False


@contextmanager
def _claim(place: Path, flags: int) -> Iterator[Path | None]:
    """The name to build `place` under, for us alone until we rename it; None when somebody else has just done it.

    The lock is on the partial file or folder itself, so a process that dies leaves it free, and nothing else behind.
    """
    part = place.with_name(f"{place.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    while True:
        if flags & os.O_DIRECTORY:
            with suppress(
                FileExistsError
            ):  # Path.mkdir(exist_ok=True) would look again, and the other's may be renamed
                part.mkdir()
        try:
            fd = os.open(part, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue  # renamed between the two calls
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not _still(fd, part):
                continue
            if place.exists():
                (part.rmdir if flags & os.O_DIRECTORY else part.unlink)()
                yield None
            else:
                yield part
            return
        finally:
            os.close(fd)


def _still(fd: int, path: Path) -> bool:
    """Whether the name still leads to what was opened: who had the lock before may have renamed or removed it."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))
