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

__all__ = ["PrivateApt", "is_security_fix", "machine_archive", "parse_uris", "security_archive"]

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ETC = Path("/etc/apt")
_DEBIAN_PATH = re.compile(r"\S+/debian/?")
_SECURITY_PATH = re.compile(r"\S+/debian-security/?")
_SECURITY_POOL = "pool/updates/"
_ROLLING = ("sid", "unstable", "experimental")
_ARCHIVE = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~+-]+)*/?")
_URI_LINE = re.compile(
    r"'(?P<uri>\S+)' (?P<file>[^_\s]+_[^_\s]+_[^_\s]+)\.deb (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})"
)
_TIMEOUT_S = 300


class PrivateApt:
    """apt for one suite, architecture and archive, with its lists below `folder`.

    With the archive of this machine's apt sources come the suite's updates and security fixes, where those sources name
    them too, for whatever suite; an archive that is given stands alone.
    """

    def __init__(
        self,
        suite: str,
        architecture: str,
        folder: Path,
        archive_url: str | None = None,
        *,
        sources: bool = False,
        components: Sequence[str] = ("main",),
        etc: Path = _ETC,
    ) -> None:
        if not _KEYRING.is_file():
            raise MachineError(
                "debian.apt.keyring", f"{_KEYRING} is not here", hint="install the package debian-archive-keyring"
            )
        self._archive = _checked(archive_url) if archive_url else machine_archive(etc)
        self._architecture = architecture
        places = [(self._archive, suite)]
        if archive_url is None and suite not in _ROLLING and "-" not in suite:
            places += _pockets(etc, self._archive, suite)
        self._bases = tuple(base for base, _ in places)
        origins = [f"[signed-by={_KEYRING}] {base} {pocket} {' '.join(components)}\n" for base, pocket in places]
        text = "".join(f"deb {origin}" for origin in origins)
        if sources:
            text += "".join(f"deb-src {origin}" for origin in origins)
        mark = sha256(text.encode()).hexdigest()[:8]
        self._folder = (folder / f"{suite}-{architecture}-{mark}").absolute()
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        if not (listed := self._folder / "sources.list").exists() or listed.read_text() != text:
            listed.write_text(text)

    def update(self) -> None:
        """Fetch the index; apt keeps what has not changed."""
        with (self._folder / "update.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # apt itself would not wait for another one
            self.run("apt-get", "update", "--error-on=any")

    def exact(self, names: Sequence[str]) -> list[LockedPackage]:
        """These packages and nothing else."""
        return parse_uris(self.run("apt-get", "download", "--print-uris", *names), *self._bases)

    def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
        """What a system of nothing but these needs, without recommendations. apt's patterns (`?essential`) work."""
        options = ("--print-uris", "--yes", "-qq", "--no-install-recommends")
        return parse_uris(self.run("apt-get", "install", *options, *requests), *self._bases)

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
                command,
                env={**os.environ, "LC_ALL": "C"},  # some of its words are read again
                cwd=cwd or self._folder,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
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


def parse_uris(text: str, *archive_urls: str) -> list[LockedPackage]:
    """The packages in what `--print-uris` prints, by name; each is below one of the archives."""
    bases = [url.rstrip("/") + "/" for url in archive_urls]
    packages = []
    for line in text.splitlines():
        if not line.startswith("'"):
            continue
        found = _URI_LINE.fullmatch(line.rstrip())
        base = next((base for base in bases if found and found["uri"].startswith(base)), None)
        if found is None or base is None:
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


def machine_archive(etc: Path = _ETC) -> str:
    """The address of the first Debian archive in this machine's apt sources, one-line or deb822."""
    if (found := _first(etc, _DEBIAN_PATH)) is not None:
        return found
    raise OperatorError(
        "debian.apt.archive", "there is no Debian archive in this machine's apt sources", hint="name one with --archive"
    )


def security_archive(archive_url: str | None, etc: Path = _ETC) -> str | None:
    """Where security fixes are: they have an archive of their own, beside that of everything else. None if nobody
    says."""
    if archive_url is None:
        return _first(etc, _SECURITY_PATH)
    beside, count = re.subn(r"/debian(?=/|$)", "/debian-security", archive_url.rstrip("/"), count=1)
    return beside if count else None


def is_security_fix(filename: str) -> bool:
    """Whether a path below an archive is one below the security archive: its pool has a name of its own."""
    return filename.startswith(_SECURITY_POOL)


def _pockets(etc: Path, archive: str, suite: str) -> list[tuple[str, str]]:
    """Where updates of the suite and its security fixes are, as far as this machine asks for its own."""
    suites = [word for words in _sources(etc) for word in words if word.endswith("-updates")]
    found = [(archive, f"{suite}-updates")] if suites else []
    security = security_archive(None, etc)
    return [*found, (security, f"{suite}-security")] if security is not None else found


def _first(etc: Path, path: re.Pattern[str]) -> str | None:
    for words in _sources(etc):
        for word in words:
            if path.fullmatch(word) and _ARCHIVE.fullmatch(word):
                return word.rstrip("/")
    return None


def _sources(etc: Path) -> Iterator[list[str]]:
    """The words of every line that says where packages are from."""
    for path in (etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))):
        if not path.is_file():
            continue
        for line in path.read_text("utf-8", "replace").splitlines():
            words = line.split()
            if words[:1] in (["URIs:"], ["Suites:"], ["deb"]):
                yield words[1:]


def _checked(archive_url: str) -> str:
    if not _ARCHIVE.fullmatch(archive_url):
        raise OperatorError(
            "debian.apt.url", "this is no archive's address", expected="http(s)://HOST/PATH", found=archive_url
        )
    return archive_url.rstrip("/")
