# SPDX-License-Identifier: MIT
"""Packages of a lock installed into a root of their own, as a tar archive: by mmdebstrap, from nothing but those files.

Invariants: exactly the packages given are installed; the same packages give the same archive on any machine, whoever
builds and wherever; no time in it is later than the youngest package's own. An archive is made once and kept in the
cache under the digest of what it is made of, complete or not at all, however many builds want it at the same time.
Nobody has to be root. mmdebstrap's own words are in `log` beside the archive; a failed try leaves `DIGEST.log`.
Nothing that it mounts is seen outside, or left there however a build ends: mmdebstrap does that where it runs without
root, and `_tools` for root.

Another architecture than the machine's runs its packages' scripts through qemu-user, which `binfmt.ensure` checks.

Out of scope: what of the root belongs to a module (`carve`); removing archives that nobody needs any more: everything
below `roots` in the cache can be removed at any time and is made again.

    bootstrap = Bootstrap(arch="arm64", packages=lock.group("module"))
    root = make(bootstrap, inputs.deb, cache, report=print)
    root.archive, root.latest_s
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from powernode.base import canonical
from powernode.base.errors import MachineError
from powernode.debian import binfmt
from powernode.debian.claim import FOLDER, claim, empty
from powernode.debian.lock import LockedPackage
from powernode.debian.repository import newest, write_repository
from powernode.module import _tools
from powernode.module._tools import Report

__all__ = ["LOG", "Bootstrap", "Root", "make"]

_CODE = "module.bootstrap"
LOG, _ARCHIVE, _LATEST = "log", "root.tar", "latest"
_HEADINGS = tuple(f"I: {word}" for word in ("downloading", "extracting", "installing", "creating"))
_OPTIONS = (
    "--variant=essential",
    "--format=tar",
    '--aptopt=APT::Install-Recommends "false"',
    "--dpkgopt=force-unsafe-io",  # a power cut means building again anyway
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """What a root is made of, and nothing else."""

    arch: str
    packages: tuple[LockedPackage, ...]

    def describe(self) -> str:
        size = sum(package.size for package in self.packages)
        return f"install {len(self.packages)} packages for {self.arch} ({size / 1e6:.0f} MB of .deb) with mmdebstrap"

    def as_dict(self) -> dict[str, canonical.Json]:
        packages = sorted(f"{package.name} {package.version} {package.sha256}" for package in self.packages)
        return {"arch": self.arch, "packages": list(packages), "options": list(_OPTIONS)}

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical.encode(self.as_dict())).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An installed root, and the time of its youngest package in seconds since 1970; `top` is where it is in the
    archive."""

    archive: Path
    latest_s: int
    top: bytes = b""


def make(bootstrap: Bootstrap, deb: Callable[[str], Path], cache: Path, *, report: Report) -> Root:
    """The root, from the cache if it is there; `deb` gives the checked file of a package."""
    place = (cache / "roots" / bootstrap.digest).absolute()
    if place.is_dir():
        report(f"the root of {len(bootstrap.packages)} packages for {bootstrap.arch} is in the cache")
    else:
        report(bootstrap.describe())
        binfmt.ensure(bootstrap.arch)
        tool = _tool()
        if not binfmt.is_native(bootstrap.arch):
            report(f"{bootstrap.arch} is emulated here: that takes minutes, some of them without a word")
        with claim(place, FOLDER) as part:
            if part is not None:
                empty(part)  # a process that died may have left something
                _fill(part, bootstrap, tool, deb, place.with_name(f"{place.name}.log"), report)
                part.rename(place)
    return Root(archive=place / _ARCHIVE, latest_s=int((place / _LATEST).read_text()))


def _tool() -> str:
    found = shutil.which("mmdebstrap")
    if found is None:
        raise MachineError(f"{_CODE}.tool", "mmdebstrap is not here", hint="apt-get install mmdebstrap")
    return found


def _fill(
    part: Path, bootstrap: Bootstrap, tool: str, deb: Callable[[str], Path], failed_log: Path, report: Report
) -> None:
    names = [package.name for package in bootstrap.packages]
    debs = []
    for number, name in enumerate(names, 1):
        debs.append(deb(name))
        if number % 50 == 0 or number == len(names):
            report(f"{number} of {len(names)} packages are here")
    latest_s = newest(debs)
    part.chmod(0o755)  # without root, mmdebstrap works as another user
    work = part / "work"
    repository = work / "repository"
    for folder in (work, repository):
        folder.mkdir()
        folder.chmod(0o755)
    write_repository(debs, repository)
    log = part / LOG
    command = [
        *(tool, *_OPTIONS, f"--architectures={bootstrap.arch}", f"--include={','.join(names)}"),
        # The files are those of the lock, whose digests were checked; there is nobody who could have signed the index.
        *("", str(part / _ARCHIVE), f"deb [trusted=yes] copy:{quote(str(repository))} ./"),
    ]
    environment = {  # and nothing of ours
        "PATH": os.defpath + ":/usr/sbin:/sbin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": str(work),
        "SOURCE_DATE_EPOCH": str(latest_s),
    }
    said = _tools.run(command, log, report=report, heading=_heading, environment=environment, apart=True)
    if said is not None:
        log.replace(failed_log)
        empty(part)
        raise MachineError(
            f"{_CODE}.mmdebstrap",
            f"mmdebstrap could not install the packages for {bootstrap.arch}",
            found=said,
            hint=f"all it said is in {failed_log}",
        )
    failed_log.unlink(missing_ok=True)
    shutil.rmtree(work)
    (part / _ARCHIVE).chmod(0o644)
    (part / _LATEST).write_text(f"{latest_s}\n")
    for name in (_ARCHIVE, _LATEST):  # the name that is given next must not survive a power cut without them
        with open(part / name, "rb") as file:
            os.fsync(file.fileno())


def _heading(line: str) -> str | None:
    return line.removeprefix("I: ") if line.startswith(_HEADINGS) else None
