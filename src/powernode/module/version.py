# SPDX-License-Identifier: MIT
"""The version of a build: the one that is given, or that of the git tag the module's checkout is at.

Invariants: a tag counts only where the module's folder is the top of the checkout (a tag of a repository with many
modules is nobody's version) and where all that is built is in it. Every file of the tag is as it is there, byte by
byte; `rootfs/` and `packages.lock/` have nothing more, also nothing that git was told to ignore; and the locks that the
build needs are in it, so that the tag says which packages they are.

The checkout may be a stranger's: git is asked only what makes it run no command of the checkout's configuration (no
`status`, which runs filters and monitors), may fetch nothing, and obeys no variable of a git that called us. So it need
not be the builder's own either, as in the containers of a CI.

    choose("0.1.0", folder)                      # "0.1.0"
    choose(None, folder, arches=("amd64",))      # v0.1.0 is checked out, with packages.lock/amd64.json: "0.1.0"
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from powernode.base.errors import DataError, OperatorError
from powernode.manifest.constraint import Version
from powernode.module import lock
from powernode.module.source import CONTAINERFILE, MANIFEST, ROOTFS, list_rootfs, open_regular

__all__ = ["choose"]

_CODE = "module.version"
_CHUNK = 1 << 20
_ASK = ("git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*")
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # What a partial clone lacks, git would fetch, by a command of the checkout's choice (core.sshCommand). The first
    # is for git 2.45 and later, the second for all: it lets no transport be used.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A path of the tag: `object` is the name of its content; `size` None: no content of this repository's."""

    mode: bytes
    object: str
    size: int | None


def choose(given: str | None, folder: Path, *, arches: Sequence[str] = ()) -> str:
    """`arches`: those whose lock the build will need."""
    if given is not None:
        return _checked(given)
    tags = _tags(folder, "--points-at=HEAD") if _is_top(folder) else []
    if not tags:
        raise OperatorError(
            f"{_CODE}.none",
            f"which version of {folder} is to be built?",
            expected="a checkout at a tag vMAJOR.MINOR.PATCH",
            found=_found(folder),
            hint=_hint(folder),
        )
    version, entries = tags[-1], _entries(folder)
    changed = "git ls-tree fails" if entries is None else _difference(folder, entries)
    if entries is None or changed is not None:
        raise OperatorError(
            f"{_CODE}.changed",
            f"{folder} is not what was tagged as {version}",
            expected="no changes since the tag, and no files of the module that are not in it",
            found=changed,
            hint="commit and tag again, or give --version",
        )
    for arch in arches:
        path = f"{lock.FOLDER}/{arch}.json"
        if path.encode() not in entries:
            raise OperatorError(
                f"{_CODE}.unpinned",
                f"the tag v{version} does not say which packages {version} is made of",
                expected=f"{path} in the commit that is tagged",
                found="no such file in it",
                hint=f"powernode module lock, commit {lock.FOLDER}/, tag that as v{_next(version)}; or give --version",
            )
    return str(version)


def _checked(given: str) -> str:
    try:
        Version.parse(given)
    except DataError as error:
        raise OperatorError(
            f"{_CODE}.given",
            f"{given!r} is no version",
            expected=error.expected,
            hint="such as 0.1.0; a tag has a v in front, a version has none",
        ) from error
    return given


def _hint(folder: Path) -> str:
    """A tag that is there already is no advice."""
    known = _tags(folder) if _is_top(folder) else []
    if not known:
        return "git tag v0.1.0, or give --version 0.1.0"
    return f"git tag v{_next(known[-1])}, or git checkout v{known[-1]}, or give --version"


def _next(version: Version) -> Version:
    return replace(version, patch=version.patch + (not version.prerelease), prerelease=(), build=())


def _tags(folder: Path, *which: str) -> list[Version]:
    """The versions of tags, the highest last."""
    found = []
    said = _git(folder, "for-each-ref", "--format=%(refname)", *which, "refs/tags") or b""
    for tag in os.fsdecode(said).splitlines():
        name = tag.removeprefix("refs/tags/")
        try:
            found += [Version.parse(name[1:])] if name.startswith("v") else []
        except DataError:
            continue
    return sorted(found, key=lambda version: version.precedence)


def _entries(folder: Path) -> dict[bytes, _Entry] | None:
    """Everything that is in the commit; None where git cannot say."""
    said = _git(folder, "ls-tree", "-r", "-l", "-z", "--full-tree", "HEAD")
    if said is None:
        return None
    found = {}
    for line in said.split(b"\0")[:-1]:
        about, path = line.split(b"\t", 1)
        mode, _, name, size = about.split()
        found[path] = _Entry(mode=mode, object=name.decode("ascii"), size=int(size) if size.isdigit() else None)
    return found


def _difference(folder: Path, entries: Mapping[bytes, _Entry]) -> str | None:
    """The first difference between the commit and what is here."""
    parents = {path[:at] for path in entries for at, byte in enumerate(path) if byte == 0x2F}
    for path in _built(folder):
        if path not in entries and path not in parents:
            return f"{os.fsdecode(path)} is not in it"
    for path in sorted(parents):
        place = folder / os.fsdecode(path)
        if place.is_symlink() or not place.is_dir():
            return f"{os.fsdecode(path)} is another"
    for path, entry in entries.items():
        if not _is_as(folder, path, entry):
            return f"{os.fsdecode(path)} is another"
    return None


def _built(folder: Path) -> Iterator[bytes]:
    """What is here of what builds read, whether git knows it or not."""
    for name in sorted(os.listdir(folder)):
        place = folder / name
        is_tree = name == lock.FOLDER or name.startswith(ROOTFS)
        if name in (MANIFEST, CONTAINERFILE) or (is_tree and place.is_symlink()):
            yield os.fsencode(name)
        elif is_tree and place.is_dir():
            yield from (os.fsencode(name) + path for path in list_rootfs(place))


def _is_as(folder: Path, path: bytes, entry: _Entry) -> bool:
    place = folder / os.fsdecode(path)
    try:
        status = place.lstat()
        if status.st_size != entry.size:
            return False
        hasher = hashlib.new("sha1" if len(entry.object) == 40 else "sha256", usedforsecurity=False)
        hasher.update(b"blob %d\0" % entry.size)
        if entry.mode == b"120000":
            if not stat.S_ISLNK(status.st_mode):
                return False
            hasher.update(os.fsencode(os.readlink(place)))
        else:
            # Executable for anybody, as `tree` sees it; git looks at the owner's bit only.
            if (entry.mode == b"100755") is not bool(status.st_mode & 0o111):
                return False
            with open_regular(place) as file:
                while data := file.read(_CHUNK):
                    hasher.update(data)
    except OSError:
        return False
    return hasher.hexdigest() == entry.object


def _found(folder: Path) -> str:
    if _git(folder, "rev-parse", "--show-toplevel") is None:
        if (folder / ".git").exists():
            return "a .git that git cannot open: is it installed?"
        return "no checkout of git"
    return "a checkout without such a tag" if _is_top(folder) else "a folder inside a checkout, whose tags are not its"


def _is_top(folder: Path) -> bool:
    top = _git(folder, "rev-parse", "--show-toplevel")
    return top is not None and Path(os.fsdecode(top.removesuffix(b"\n"))).resolve() == folder.resolve()


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it cannot say (no git, no checkout)."""
    # A hook's GIT_DIR and the like would make it answer about another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _ENVIRONMENT
    try:
        result = subprocess.run(
            [*_ASK, "-C", str(folder), *arguments], capture_output=True, check=False, env=environment
        )
    except FileNotFoundError:
        return None
    return result.stdout if result.returncode == 0 else None
