# SPDX-License-Identifier: MIT
"""A module against those it will be together with: what they protect, what they require of each other.

The others are sources or built module directories. Their owners are not known here, so a requirement binds to a module
of its name, whoever's it is; at assignment the platform looks at the owner, too (`manifest.dependencies`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from powernode.base.errors import DataError, OperatorError
from powernode.manifest.constraint import Version
from powernode.manifest.dependencies import Candidate, Requirement, resolve
from powernode.manifest.globs import compile_globs
from powernode.manifest.overlap import Effort, covers
from powernode.manifest.problem import Problem
from powernode.module import directory
from powernode.module._globcheck import shipped_rootfs, taken, uncompared
from powernode.module.source import MANIFEST, Source, read_source

__all__ = ["Other", "other_findings", "read_other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """What counts of another module."""

    name: str
    version: Version | None
    protected_spec: tuple[str, ...]
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()


def read_other(folder: Path) -> Other:
    if (folder / MANIFEST).is_file():
        manifest = read_source(folder).manifest
        return Other(
            name=manifest.name,
            version=None,
            protected_spec=manifest.protected_spec,
            requires=manifest.dependencies.requires,
            provides=manifest.dependencies.provides,
        )
    if not (folder / directory.DOCUMENT).is_file():
        raise OperatorError(
            "module.validate.other",
            f"{folder} is no module",
            expected=f"a source with {MANIFEST}, or a module directory with {directory.DOCUMENT}",
        )
    facts = directory.read(folder).facts
    return Other(name=facts.name, version=_version(facts.version), protected_spec=facts.protected_spec)


def other_findings(source: Source, others: Sequence[Other]) -> list[tuple[Problem, bool]]:
    """Problems, and whether each is only a warning."""
    effort = Effort()
    found = [(problem, False) for other in others for problem in _protected(source, other, effort)]
    found += [(problem, True) for problem in uncompared(effort)]
    return found + [(problem, False) for problem in _dependencies(source, others)]


def _protected(source: Source, other: Other, effort: Effort) -> Iterator[Problem]:
    manifest = source.manifest
    if other.name == manifest.name or not other.protected_spec:
        return
    for number, glob in enumerate(manifest.file_spec or ()):
        if covers([glob], by=other.protected_spec, effort=effort):
            yield Problem(
                path=("file_spec", number),
                code="module.owner.protected",
                message=f"{other.name} protects everything that {glob} includes, so this module cannot ship it",
                hint=f"leave it out, or override it with a config module of {other.name}",
            )
    for number, glob in enumerate(manifest.protected_spec):
        if covers([glob], by=other.protected_spec, effort=effort) or any(
            covers([theirs], by=[glob], effort=effort) for theirs in other.protected_spec
        ):
            yield Problem(
                path=("protected_spec", number),
                code="module.owner.both-protect",
                message=f"{glob} is protected by {other.name}, too",
                hint="a path has one owner",
            )
    reserved = compile_globs(other.protected_spec)
    for path in shipped_rootfs(source):
        if taken(reserved, path, False):
            shown = path.decode("utf-8", "backslashreplace")
            yield Problem(
                path=("file_spec",),
                code="module.owner.protected",
                message=f"rootfs{shown} would not ship: {other.name} protects it",
                hint=f"remove it, or override it with a config module of {other.name}",
            )


def _dependencies(source: Source, others: Sequence[Other]) -> Iterator[Problem]:
    dependencies = source.manifest.dependencies
    own = Other(
        name=source.manifest.name,
        version=None,
        protected_spec=(),
        requires=dependencies.requires,
        provides=dependencies.provides,
    )
    resolution = resolve(_candidate(other) for other in (own, *others) if other is own or other.name != own.name)
    requires = [_unowned(text) for text in dependencies.requires]
    for conflict in resolution.conflicts:
        if conflict.by == own.name:
            yield Problem(
                path=("dependencies", "requires", requires.index(conflict.requirement)),
                code="dependency.conflict",
                message=f"no version that is here is allowed by {conflict.requirement}",
                found=", ".join(conflict.found),
            )
        else:
            message = f"{conflict.by} wants {conflict.requirement}"
            yield Problem(path=(), code="dependency.conflict", message=message, found=", ".join(conflict.found))
    for cycle in resolution.cycles:
        path: tuple[str | int, ...] = ("dependencies",)
        if own.name in cycle:
            following = cycle[cycle.index(own.name) + 1]
            used = [text for by, text, provider in resolution.met if by == own.name and provider == following]
            path = ("dependencies", "requires", requires.index(used[0]))
        yield Problem(
            path=path,
            code="dependency.cycle",
            message="modules require each other in a circle",
            found=" -> ".join(cycle),
            hint="let both require a third one with what they share",
        )


def _candidate(other: Other) -> Candidate:
    requires = tuple(map(_unowned, other.requires))
    return Candidate(name=other.name, version=other.version, requires=requires, provides=other.provides)


def _unowned(text: str) -> str:
    return str(replace(Requirement.parse(text), owner=None))


def _version(text: str) -> Version | None:
    try:
        return Version.parse(text)
    except DataError:
        return None  # system-base has Debian's
