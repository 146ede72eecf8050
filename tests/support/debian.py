# SPDX-License-Identifier: MIT
"""Packages of any Debian release, unpacked into a folder: nothing is installed and apt's own state is untouched.

The archive's address is the one in this machine's apt sources. Signatures are checked with the archive's keyring.

    apt = PrivateApt("trixie")
    apt.unpack(["busybox-static"], Path("root"))
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

    def update(self) -> None:
        with _as_unavailable():
            self._apt.update()

    def depends(self, package: str) -> list[str]:
        """What the package names as its dependencies, first alternatives only."""
        with _as_unavailable():
            return self._apt.depends(package)

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """The files of the packages, below `root`."""
        work = root.with_name(f"{root.name}.{os.getpid()}.deb")
        work.mkdir(parents=True)
        try:
            with _as_unavailable():
                self._apt.run("apt-get", "download", *packages, cwd=work)
            for archive in sorted(work.glob("*.deb")):
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


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except PowernodeError as error:
        raise UnavailableError(str(error)) from error
