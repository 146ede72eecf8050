# SPDX-License-Identifier: MIT
"""Packages of any Debian release, unpacked into a folder: nothing is installed and apt's own state is untouched.

The archive's address is the one in this machine's apt sources. Signatures are checked with the archive's keyring.

    apt = PrivateApt("trixie")
    apt.unpack(["busybox-static"], Path("root"))
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from powernode.base.errors import PowernodeError
from powernode.debian import apt

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("POWERNODE_CACHE") or CHECKOUT / ".cache")
"""Everything tests download; inside the checkout, so that removing that removes it all."""


class UnavailableError(Exception):
    """Why something from the archive cannot be had here; tests skip with it."""


class PrivateApt:
    """apt for one release and architecture, with its lists in the cache."""

    def __init__(self, suite: str, architecture: str = "amd64") -> None:
        for tool in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise UnavailableError(f"{tool} is not here to get packages with")
        with _as_unavailable():
            self._apt = apt.PrivateApt(suite, architecture, CACHE / "apt", sources=True)
        self._names = suite, architecture

    def update(self) -> None:
        """The newest index, once for each process."""
        if (reason := _updated(*self._names)) is not None:
            raise UnavailableError(reason)

    def depends(self, package: str) -> list[str]:
        """What the package names as its dependencies, first alternatives only."""
        with _as_unavailable():
            return self._apt.depends(package)

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """The packages' files, in a folder that is empty."""
        with _as_unavailable():
            self._apt.run("apt-get", "download", *packages, cwd=folder)
        return sorted(folder.glob("*.deb"))

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """The files of the packages, below `root`."""
        work = root.with_name(f"{root.name}.{os.getpid()}.deb")
        work.mkdir(parents=True)
        try:
            for archive in self.download(packages, work):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def source(self, package: str, folder: Path) -> Path:
        """The original source archive of a package, not unpacked."""
        folder.mkdir(parents=True, exist_ok=True)
        with _as_unavailable():
            self._apt.run("apt-get", "source", "--download-only", package, cwd=folder)
        found = sorted(folder.glob("*.orig.tar.*[!c]"))
        if not found:
            raise UnavailableError(f"the archive has no source of {package}")
        return found[0]


def kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, which is in the cache and never changes. Where it is missing, `make` fills another that becomes it.

    Processes that want the same folder wait for the one that makes it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # somebody was stopped here
            partial.mkdir()
            make(partial)
            partial.rename(folder)
    return folder


@cache
def _updated(suite: str, architecture: str) -> str | None:
    """Why there is no new index: without network it takes long to find that out, so nobody asks twice."""
    try:
        apt.PrivateApt(suite, architecture, CACHE / "apt", sources=True).update()
    except PowernodeError as error:
        return str(error)
    return None


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except PowernodeError as error:
        raise UnavailableError(str(error)) from error
