# SPDX-License-Identifier: MIT
"""The version of a build: the one that is given, or that of the git tag the module's checkout is at.

Invariants: a tag counts only where the module's folder is the top of the checkout (a tag of a repository with many
modules is nobody's version) and where all that is built is in it: nothing that git tracks has been changed since, and
git has every file of `rootfs/`, also of those it was told to ignore.

    choose("0.1.0", folder)        # "0.1.0"
    choose(None, folder)           # v0.1.0 is checked out: "0.1.0"
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from powernode.base.errors import DataError, OperatorError
from powernode.manifest.constraint import Version

__all__ = ["choose"]

_CODE = "module.version"
_BUILT = ("manifest.yaml", "Containerfile", ":(glob)rootfs*/**")
_HINT = "git tag v0.1.0, or give --version 0.1.0"


def choose(given: str | None, folder: Path) -> str:
    if given is not None:
        Version.parse(given)
        return given
    tagged = _tagged(folder)
    if not tagged:
        raise OperatorError(
            f"{_CODE}.none",
            f"which version of {folder} is to be built?",
            expected="a checkout at a tag vMAJOR.MINOR.PATCH",
            found=_found(folder),
            hint=_HINT,
        )
    changed = _changed(folder)
    if changed is not None:
        raise OperatorError(
            f"{_CODE}.changed",
            f"{folder} is not what was tagged as {tagged[-1]}",
            expected="no changes since the tag, and no files of the module that are not in it",
            found=changed,
            hint="commit and tag again, or give --version",
        )
    return tagged[-1]


def _tagged(folder: Path) -> list[str]:
    """The versions of the tags at HEAD, the highest last."""
    if not _is_top(folder):
        return []
    found = []
    for tag in (_git(folder, "tag", "--points-at", "HEAD") or "").split():
        try:
            found.append((Version.parse(tag.removeprefix("v")), tag))
        except DataError:
            continue
    return [tag[1:] for version, tag in sorted(found, key=lambda pair: pair[0].precedence) if tag.startswith("v")]


def _changed(folder: Path) -> str | None:
    """The first difference between the tag and what would be built."""
    questions = ("status", "--porcelain", "--untracked-files=no"), ("ls-files", "--others", "--", *_BUILT)
    for question in questions:
        said = _git(folder, *question)
        if said is None:
            return f"git {question[0]} fails"
        if said:
            return said.splitlines()[0].strip()
    return None


def _found(folder: Path) -> str:
    if _git(folder, "rev-parse", "--show-toplevel") is None:
        if (folder / ".git").exists():
            return "a .git that git cannot open: is it installed, and is the folder yours?"
        return "no checkout of git"
    return "a checkout without such a tag" if _is_top(folder) else "a folder inside a checkout, whose tags are not its"


def _is_top(folder: Path) -> bool:
    top = _git(folder, "rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == folder.resolve()


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it cannot say (no git, no checkout, somebody else's)."""
    try:
        result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None
