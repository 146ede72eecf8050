# SPDX-License-Identifier: MIT
"""Packages of any Debian release, unpacked into a folder: nothing is installed and apt's own state is untouched.

The archive's address is the one in this machine's apt sources. Signatures are checked with the archive's keyring.

    apt = PrivateApt("trixie")
    apt.unpack(["busybox-static"], Path("root"))
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("POWERNODE_CACHE") or CHECKOUT / ".cache")
"""Everything tests download; inside the checkout, so that removing that removes it all."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEBIAN_PATH = re.compile(r"\S+/debian/?$")


class UnavailableError(Exception):
    """Why something from the archive cannot be had here; tests skip with it."""


class PrivateApt:
    """apt for one release and architecture, with its lists in the cache."""

    def __init__(self, suite: str, architecture: str = "amd64") -> None:
        for tool in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise UnavailableError(f"{tool} is not here to get packages with")
        self._architecture = architecture
        self._folder = CACHE / "apt" / f"{suite}-{architecture}"
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        origin = f"[signed-by={_KEYRING}] {_archive()} {suite} main\n"
        (self._folder / "sources.list").write_text(f"deb {origin}deb-src {origin}")

    def update(self) -> None:
        self._run("apt-get", "update")

    def depends(self, package: str) -> list[str]:
        """What the package names as its dependencies, first alternatives only."""
        return re.findall(r"^ *Depends: (\S+)", self._run("apt-cache", "depends", package), re.M)

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """The files of the packages, below `root`."""
        work = root.with_name(f"{root.name}.{os.getpid()}.deb")
        work.mkdir(parents=True)
        try:
            self._run("apt-get", "download", *packages, cwd=work)
            for archive in sorted(work.glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def source(self, package: str, folder: Path) -> Path:
        """The original source archive of a package, not unpacked."""
        folder.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "source", "--download-only", package, cwd=folder)
        found = sorted(folder.glob("*.orig.tar.*[!c]"))
        if not found:
            raise UnavailableError(f"the archive has no source of {package}")
        return found[0]

    def _run(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        options = {
            "Dir::State": self._folder / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self._folder / "cache",
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none",
            "APT::Architecture": self._architecture,
            "APT::Architectures": self._architecture,
            # apt's own user cannot write into a private directory; the archive's signature is checked all the same
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        }
        command = [tool, *(f"-o{key}={value}" for key, value in options.items()), *arguments]
        try:
            result = subprocess.run(
                command, cwd=cwd or self._folder, capture_output=True, text=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"{tool} {arguments[0]} took too long") from error
        if result.returncode:
            raise UnavailableError(f"{tool} {' '.join(arguments)} failed: {result.stderr.strip()[-300:]}")
        return result.stdout


def _archive() -> str:
    """The first Debian archive in this machine's apt sources, one-line or deb822."""
    for uri in _uris():
        if _DEBIAN_PATH.match(uri):
            return uri
    raise UnavailableError("no Debian archive in this machine's apt sources")


def _uris() -> Iterator[str]:
    etc = Path("/etc/apt")
    for path in (etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))):
        if not path.is_file():
            continue
        for line in path.read_text("utf-8", "replace").splitlines():
            words = line.split()
            if words[:1] == ["URIs:"]:
                yield from words[1:]
            elif words[:1] == ["deb"]:
                yield from (word for word in words[1:] if "://" in word)
