# SPDX-License-Identifier: MIT
"""What is known of the packages that a manifest asks for, without installing any: their names, perhaps their files.

Names come from the module's lock where there is one, else from the archive's signed index; files from the .debs that
earlier builds left in the cache, if it has all of those that the module adds.

    known = of_lock(lock, Path("my-redis/packages.lock/amd64.json"), cache=Path(".cache"))
    "redis-server" in known.names, known.files
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from powernode.archive import ar, tar
from powernode.archive.decompress import open_stream
from powernode.debian.apt import PrivateApt
from powernode.debian.lock import Lock, LockedPackage
from powernode.module import lock as locks

__all__ = ["Known", "of_archive", "of_lock"]

_MAX_DEB_BYTES = 16 << 20
_MAX_TREE_BYTES = 1 << 30
_MAX_ENTRIES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """`where` names the source of `names` for people. `files` (a path: is it a directory) None: not known."""

    where: str
    names: frozenset[str]
    files: dict[bytes, bool] | None = None


def of_archive(private: PrivateApt, where: str) -> Known:
    """The names of all packages there are; the index must have been fetched."""
    names = private.run("apt-cache", "pkgnames").split()
    return Known(where=where, names=frozenset(names))


def of_lock(lock: Lock, path: Path, *, cache: Path | None) -> Known:
    """What the lock has."""
    options = [name.removeprefix("module-") for name in lock.groups if name.startswith("module-")]
    packages, added = locks.packages(lock, options), locks.added(lock, options)
    files: dict[bytes, bool] | None = {}
    for package in packages:
        if package.name in added and files is not None:
            listed = _files(package, cache) if cache is not None else None
            files = files | listed if listed is not None else None
    return Known(where=str(path), names=frozenset(package.name for package in packages), files=files)


def _files(package: LockedPackage, cache: Path) -> dict[bytes, bool] | None:
    """The paths in a cached .deb, or None where that would be a lot of work or the cache does not have it."""
    if package.size > _MAX_DEB_BYTES:
        return None
    try:
        with (cache / "debs" / f"{package.sha256}.deb").open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != package.sha256:
                return None
            file.seek(0)
            for name, member in ar.members(file):
                if name == "data.tar" or name.startswith("data.tar."):
                    method = name.removeprefix("data.tar").removeprefix(".")
                    stream = open_stream(member, method, limit_bytes=_MAX_TREE_BYTES)
                    entries = tar.entries(stream, limit=_MAX_ENTRIES)
                    return {_place(entry.path): entry.kind is tar.Kind.DIRECTORY for entry, _ in entries}
    except FileNotFoundError:
        pass
    return None


def _place(path: str) -> bytes:
    """As on the installed system, where /bin, /lib and /sbin are links into /usr."""
    parts = path.removeprefix("./").strip("/")
    if parts.partition("/")[0] in ("bin", "lib", "lib64", "sbin"):
        parts = f"usr/{parts}"
    return b"/" + parts.encode("utf-8", "surrogateescape")
