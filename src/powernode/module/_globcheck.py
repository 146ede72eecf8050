# SPDX-License-Identifier: MIT
"""What is wrong with a manifest's globs: among themselves, against `rootfs/`, against the packages' files.

Among themselves the answers are about every path there could be (`manifest.overlap`), so they need no build. Against
files they are warnings: what a package's scripts make is known only when it has been installed.

Every glob is compared with all others, so what that may cost is bounded; that something was not compared is said.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

from powernode.manifest.globs import GlobSet, compile_globs, parse_glob
from powernode.manifest.overlap import Effort, covers, overlaps
from powernode.manifest.problem import Problem
from powernode.module.source import Source

__all__ = ["glob_findings", "shipped_rootfs", "taken", "uncompared"]

_LISTS = ("file_spec", "mask", "protected_spec", "dependency_spec", "carve_waivers")
_MADE_BY_SCRIPTS = ("/etc/alternatives/", "/etc/rc?.d/", "/etc/ssl/", "/etc/systemd/", "/var/")
"""Where the packages' scripts put most of what is in no package: units switched on, alternatives, state."""
_FILE_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_BRACES = re.compile(r"(?<!\\)\{[^{}]*,[^{}]*\}")
_HOME_HINT = "ship it below /etc/skel, or declare the user in `users`"
_SHOWN = 5


def glob_findings(source: Source, package_files: Mapping[bytes, bool] | None) -> list[tuple[Problem, bool]]:
    """Problems, and whether each is only a warning. `package_files` None: not known."""
    effort = Effort()
    found = [(problem, False) for problem in _conflicts(source, effort)]
    found += [(problem, True) for problem in _without_effect(source, effort)]
    found += [(problem, False) for problem in _rootfs_errors(source)]
    broken = {problem.path for problem, _ in found}
    warnings = list(_rootfs_warnings(source))
    if package_files is not None:
        warnings += _unused(source, package_files, effort)
    found += [(problem, True) for problem in warnings if problem.path not in broken]
    return found + [(problem, True) for problem in uncompared(effort)]


def uncompared(effort: Effort) -> list[Problem]:
    """That there was more to compare than may be."""
    if not effort.is_used_up:
        return []
    message = "there are too many globs to compare each with all others: not all that is wrong with them is found"
    hint = "name directories (/usr/share/x/) in place of many files"
    return [Problem(path=(), code="module.glob.uncompared", message=message, hint=hint)]


def shipped_rootfs(source: Source) -> list[bytes]:
    """The files of rootfs/ that the manifest lets through."""
    file_spec, mask = source.manifest.file_spec, compile_globs(source.manifest.mask)
    included = compile_globs(file_spec if file_spec is not None else ["/"])
    return [
        path
        for path in _leaves(source)
        if included.matches(path, is_directory=_is_directory(source, path))
        and not taken(mask, path, _is_directory(source, path))
    ]


def taken(globs: GlobSet, path: bytes, is_directory: bool) -> bool:
    """Is it, or a directory that it is in, matched?"""
    if globs.matches(path, is_directory=is_directory):
        return True
    while path := path.rpartition(b"/")[0]:
        if globs.matches(path, is_directory=True):
            return True
    return False


def _conflicts(source: Source, effort: Effort) -> Iterator[Problem]:
    manifest = source.manifest
    for number, glob in enumerate(manifest.file_spec or ()):
        if manifest.mask and covers([glob], by=manifest.mask, effort=effort):
            yield Problem(
                path=("file_spec", number),
                code="module.glob.masked",
                message=f"mask takes away everything that {glob} includes",
                hint="remove it from file_spec, or narrow the mask",
            )
    for number, glob in enumerate(manifest.protected_spec):
        path = ("protected_spec", number)
        if manifest.mask and covers([glob], by=manifest.mask, effort=effort):
            yield Problem(
                path=path,
                code="module.glob.protected-masked",
                message=f"{glob} is protected and masked, so no module at all could ship it",
                hint="remove it from protected_spec or from mask",
            )
        elif manifest.file_spec is not None and not overlaps(_with_below(glob), manifest.file_spec, effort=effort):
            yield Problem(
                path=path,
                code="module.glob.protected-unowned",
                message=f"{glob} is protected, but file_spec includes nothing of it",
                expected="a path that this module owns",
                hint="add it to file_spec; who ships it should protect it",
            )


def _without_effect(source: Source, effort: Effort) -> Iterator[Problem]:
    manifest = source.manifest
    for key in _LISTS:
        seen: dict[str, int] = {}
        for number, glob in enumerate(getattr(manifest, key) or ()):
            if seen.setdefault(glob, number) != number:
                message = f"{glob} is in {key} twice"
                yield Problem(path=(key, number), code="module.glob.duplicate", message=message)
            if _BRACES.search(glob):
                yield Problem(
                    path=(key, number),
                    code="module.glob.braces",
                    message=f"{glob} means names with these braces in them",
                    hint=r"write one glob for each alternative, or \{ if the brace is meant",
                )
    for number, glob in enumerate(manifest.mask):
        if manifest.file_spec is not None and not overlaps(_with_below(glob), manifest.file_spec, effort=effort):
            yield Problem(
                path=("mask", number),
                code="module.glob.idle-mask",
                message=f"{glob} masks nothing: file_spec does not include it",
                hint="mask takes away what this module would ship; other modules' files it does not touch",
            )


def _rootfs_errors(source: Source) -> Iterator[Problem]:
    odd = [path for path, kind in source.rootfs.items() if kind not in _FILE_TYPES]
    if odd:
        yield Problem(
            path=(),
            code="module.rootfs.type",
            message="rootfs/ has what a root is not made of",
            expected="files, directories and links",
            found=_few(odd),
        )
    homes = [path for path in shipped_rootfs(source) if path.startswith(b"/home/")]
    if homes:
        yield Problem(
            path=("file_spec",),
            code="manifest.home",
            message="a module ships nothing below /home: homes are the users' and live on the machine",
            found=_few(homes),
            hint=_HOME_HINT,
        )


def _rootfs_warnings(source: Source) -> Iterator[Problem]:
    manifest = source.manifest
    file_spec = None if manifest.file_spec is None else compile_globs(manifest.file_spec)
    mask = compile_globs(manifest.mask)
    masked = [path for path in _leaves(source) if taken(mask, path, _is_directory(source, path))]
    if masked:
        yield Problem(
            path=("mask",), code="module.rootfs.masked", message="mask hides files of rootfs/", found=_few(masked)
        )
    if file_spec is not None:
        left = [
            path for path in _leaves(source) if not file_spec.matches(path, is_directory=_is_directory(source, path))
        ]
        if left:
            hint = "add them to file_spec, or remove them from rootfs/"
            if any(path.startswith(b"/home/") for path in left):
                hint = f"nothing below /home ships: {_HOME_HINT}"
            yield Problem(
                path=("file_spec",),
                code="module.rootfs.unshipped",
                message="file_spec does not include all of rootfs/",
                found=_few(left),
                hint=hint,
            )


def _unused(source: Source, package_files: Mapping[bytes, bool], effort: Effort) -> Iterator[Problem]:
    """Globs that no known file matches."""
    manifest = source.manifest
    there = dict(package_files)
    there |= {path: kind == stat.S_IFDIR for path, kind in source.rootfs.items()}
    there |= {os.fsencode(path): True for path in manifest.build.directories}
    for path in list(there):
        while (path := path.rpartition(b"/")[0]) and path not in there:
            there[path] = True
    paths = sorted(there)
    where = "the packages and rootfs/ have" if manifest.package_spec else "rootfs/ has"
    for key in ("file_spec", "mask", "protected_spec", "carve_waivers"):
        for number, glob in enumerate(getattr(manifest, key) or ()):
            if manifest.package_spec and overlaps([glob], _MADE_BY_SCRIPTS, effort=effort):
                continue
            if not _any_match(glob, there, paths, effort):
                yield Problem(
                    path=(key, number),
                    code="module.glob.unused",
                    message=f"{glob} matches nothing that {where}",
                    hint="what the packages' scripts make is not known here" if manifest.package_spec else None,
                )


def _with_below(glob: str) -> list[str]:
    """What a glob takes away: a directory goes with all below it, with or without a slash at the end."""
    return [glob, f"{glob}/"] if not glob.endswith("/") else [glob]


def _any_match(glob: str, there: Mapping[bytes, bool], paths: Sequence[bytes], effort: Effort) -> bool:
    """Is one of the `paths` (those that are `there`, sorted) matched, or is that too much to ask?"""
    compiled, prefix = compile_globs([glob]), b""
    for element in parse_glob(glob).elements:
        if not isinstance(element, int):
            break
        prefix += bytes((element,))
    for at in range(bisect_left(paths, prefix), len(paths)):
        path = paths[at]
        if not path.startswith(prefix):
            break
        if not effort.spend(2) or compiled.matches(path, is_directory=there[path]):
            return True
    return effort.is_used_up


def _leaves(source: Source) -> list[bytes]:
    """What nobody would miss a directory for: files, links, empty directories."""
    parents = {path.rpartition(b"/")[0] for path in source.rootfs}
    return [path for path in source.rootfs if path not in parents]


def _is_directory(source: Source, path: bytes) -> bool:
    return source.rootfs[path] == stat.S_IFDIR


def _few(paths: Sequence[bytes] | Iterable[bytes]) -> str:
    listed = [path.decode("utf-8", "backslashreplace") for path in paths]
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")
