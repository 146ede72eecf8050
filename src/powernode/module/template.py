# SPDX-License-Identifier: MIT
"""New modules: the canonical layout, filled from a template, ready to validate and to build.

Invariants: what a template makes validates without an error or a warning; nothing that is there is overwritten, and
of a layout that could not be made whole nothing is left. Every template has `manifest.yaml`, `Containerfile`,
`rootfs/.gitkeep`, `.gitea/workflows/build.yaml`, a GitHub one and a README.

    files = render("my-redis", "package", powernode="1.0.0")
    write(Path("my-redis"), files)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from powernode.base.errors import OperatorError
from powernode.manifest.model import problems

__all__ = ["TEMPLATES", "render", "write"]

TEMPLATES = {
    "package": "ships files of a Debian package",
    "service": "runs a program of its own as a service",
    "config": "configuration files and nothing else",
    "kernel": "kernel modules and firmware; needs a restart",
}

# Names that begin with a dot are not kept in package data.
_PLACES = {
    "gitea.yaml": ".gitea/workflows/build.yaml",
    "github.yaml": ".github/workflows/build.yaml",
    "gitignore": ".gitignore",
}
_UNIT_FOLDER = "rootfs/usr/lib/systemd/system"
_LINKS = {"service": {f"{_UNIT_FOLDER}/multi-user.target.wants/@NAME@.service": "../@NAME@.service"}}


def render(name: str, template: str, *, powernode: str) -> dict[str, bytes | str]:
    """What to write: bytes for a file, text for where a link leads. `powernode`: the version that CI installs."""
    wrong = problems({"schema_version": 1, "name": name})
    if wrong:
        raise OperatorError("module.new.name", "a module cannot have this name", expected=wrong[0].expected, found=name)
    if template not in TEMPLATES:
        expected = ", ".join(TEMPLATES)
        raise OperatorError("module.new.template", "there is no such template", expected=expected, found=template)
    top = files("powernode.module") / "templates"
    found: dict[str, bytes | str] = {"rootfs/.gitkeep": b""}
    for place, data in (*_walk(top / "common", ""), *_walk(top / template, "")):
        text = data.decode().replace("@NAME@", name).replace("@POWERNODE@", powernode)
        found[_PLACES.get(place, place).replace("@NAME@", name)] = text.encode()
    for place, target in _LINKS.get(template, {}).items():
        found[place.replace("@NAME@", name)] = target.replace("@NAME@", name)
    return dict(sorted(found.items()))


def write(folder: Path, content: Mapping[str, bytes | str]) -> None:
    """All of it or nothing; the folder may be there, none of the files may."""
    there = [place for place in content if os.path.lexists(folder / place)]
    if there:
        raise OperatorError(
            "module.new.exists", f"{folder / there[0]} is there already", hint="choose another name or --dir"
        )
    made: list[Path] = []
    try:
        for place, what in content.items():
            path = folder / place
            _make_folders(path.parent, made)
            if isinstance(what, str):
                path.symlink_to(what)
                made.append(path)
                continue
            with path.open("xb") as file:
                made.append(path)
                file.write(what)
                if what.startswith(b"#!"):
                    os.fchmod(file.fileno(), 0o755)
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        raise


def _make_folders(folder: Path, made: list[Path]) -> None:
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir()
            made.append(path)


def _walk(folder: Traversable, place: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        path = f"{place}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        else:
            yield path, entry.read_bytes()
