# SPDX-License-Identifier: MIT
"""apt as an oracle: which packages of a suite and architecture satisfy a request, by Debian's own resolver.

Invariants: nothing is installed, the machine's own apt state is neither read nor touched (of its settings only those of
the network, such as a proxy, have a say), and the index is believed only with the archive keyring's signature. An index
past its Valid-Until is taken: snapshots always are, and what is locked is pinned by digest. Any architecture from any
host, without root.

Out of scope: downloading packages (debian.inputs); any archive but Debian's.

    private = PrivateApt("trixie", "arm64", Path(".cache/apt"))
    private.update()
    private.closure(["systemd-sysv"])        # with everything it needs, from nothing
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.debian.lock import LockedPackage

__all__ = ["PrivateApt", "machine_archive", "parse_uris"]

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEBIAN_PATH = re.compile(r"\S+/debian/?")
_ARCHIVE = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~+-]+)*/?")
_URI_LINE = re.compile(
    r"'(?P<uri>\S+)' (?P<file>[^_\s]+_[^_\s]+_[^_\s]+)\.deb (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})"
)
_TIMEOUT_S = 300


class PrivateApt:
    """apt for one suite, architecture and archive, with its lists below `folder`."""

    def __init__(
        self, suite: str, architecture: str, folder: Path, archive_url: str | None = None, *, sources: bool = False
    ) -> None:
        if not _KEYRING.is_file():
            raise MachineError(
                "debian.apt.keyring", f"{_KEYRING} is not here", hint="install the package debian-archive-keyring"
            )
        self._archive = _checked(archive_url) if archive_url else machine_archive()
        self._architecture = architecture
        mark = sha256(f"{self._archive} {sources}".encode()).hexdigest()[:8]
        self._folder = (folder / f"{suite}-{architecture}-{mark}").absolute()
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        origin = f"[signed-by={_KEYRING}] {self._archive} {suite} main\n"
        text = f"deb {origin}" + (f"deb-src {origin}" if sources else "")
        if not (listed := self._folder / "sources.list").exists() or listed.read_text() != text:
            listed.write_text(text)

    def update(self) -> None:
        """Fetch the index; apt keeps what has not changed."""
        with (self._folder / "update.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # apt itself would not wait for another one
            self.run("apt-get", "update", "--error-on=any")

    def exact(self, names: Sequence[str]) -> list[LockedPackage]:
        """These packages and nothing else."""
        return parse_uris(self.run("apt-get", "download", "--print-uris", *names), self._archive)

    def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
        """What a system of nothing but these needs, without recommendations. apt's patterns (`?essential`) work."""
        options = ("--print-uris", "--yes", "-qq", "--no-install-recommends")
        return parse_uris(self.run("apt-get", "install", *options, *requests), self._archive)

    def depends(self, name: str) -> list[str]:
        """What the package names as its dependencies, first alternatives only."""
        return re.findall(r"^ *Depends: (\S+)", self.run("apt-cache", "depends", name), re.M)

    def newest(self, name: str) -> str | None:
        """The version the archive has now."""
        return next(
            iter(re.findall(r"^Version: (\S+)", self.run("apt-cache", "show", "--no-all-versions", name), re.M)), None
        )

    def run(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        """What the tool prints in this configuration."""
        options = {
            "Dir::State": self._folder / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self._folder / "cache",
            "Dir::Cache::pkgcache": "pkgcache.bin",  # containers often switch it off: a second more for every question
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
            "Acquire::ForceHash": "SHA256",
            "APT::Default-Release": "",
            "APT::Install-Suggests": "false",
            "APT::Architecture": self._architecture,
            "APT::Architectures": self._architecture,
            "pkgCacheGen::ForceEssential": ",",  # else apt calls itself essential
            # apt's own user cannot write into a private directory; the archive's signature is checked all the same
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        }
        command = [tool, *(f"-o{key}={value}" for key, value in options.items()), *arguments]
        try:
            result = subprocess.run(
                command, cwd=cwd or self._folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise MachineError("debian.apt.tool", f"{tool} is not here", hint="this needs Debian's apt") from error
        except subprocess.TimeoutExpired as error:
            raise MachineError("debian.apt.time", f"{tool} {arguments[0]} took more than {_TIMEOUT_S} s") from error
        if result.returncode:
            raise MachineError(
                "debian.apt.failed", f"{tool} {' '.join(arguments)} failed", found=result.stderr.strip()[-500:]
            )
        return result.stdout


def parse_uris(text: str, archive_url: str) -> list[LockedPackage]:
    """The packages in what `--print-uris` prints, by name."""
    base = archive_url.rstrip("/") + "/"
    packages = []
    for line in text.splitlines():
        if not line.startswith("'"):
            continue
        found = _URI_LINE.fullmatch(line.rstrip())
        if found is None or not found["uri"].startswith(base):
            raise DataError("debian.apt.uris", "apt named a package in a way not understood", found=line)
        name, version, architecture = found["file"].split("_")
        packages.append(
            LockedPackage(
                name=name,
                version=unquote(version),
                architecture=architecture,
                filename=found["uri"].removeprefix(base),
                size=int(found["size"]),
                sha256=found["sha256"],
            )
        )
    return sorted(packages, key=lambda package: package.name)


def machine_archive(etc: Path = Path("/etc/apt")) -> str:
    """The address of the first Debian archive in this machine's apt sources, one-line or deb822."""
    for uri in _uris(etc):
        if _DEBIAN_PATH.fullmatch(uri) and _ARCHIVE.fullmatch(uri):
            return uri.rstrip("/")
    raise OperatorError(
        "debian.apt.archive", "there is no Debian archive in this machine's apt sources", hint="name one with --archive"
    )


def _uris(etc: Path) -> Iterator[str]:
    for path in (etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))):
        if not path.is_file():
            continue
        for line in path.read_text("utf-8", "replace").splitlines():
            words = line.split()
            if words[:1] == ["URIs:"]:
                yield from words[1:]
            elif words[:1] == ["deb"]:
                yield from (word for word in words[1:] if "://" in word)


def _checked(archive_url: str) -> str:
    if not _ARCHIVE.fullmatch(archive_url):
        raise OperatorError(
            "debian.apt.url", "this is no archive's address", expected="http(s)://HOST/PATH", found=archive_url
        )
    return archive_url.rstrip("/")
