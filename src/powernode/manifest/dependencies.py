# SPDX-License-Identifier: MIT
"""Which requirement is met by which module: a pure function of the modules' manifests, owners and versions.

A requirement names a module (`owner/module@^1.0`, `module`) or a capability (`capability:tag@>=1.2`), which any module
may provide. With an owner it binds to that owner's module and to no other; without one to the requirer's own owner's,
else to the only owner who has one. A capability without a version meets only requirements without a constraint.

Invariants: the order of the modules does not matter; nothing is left out silently: every requirement is in exactly one
of `met`, `missing`, `conflicts` and `ambiguous`; where modules require each other in circles, `cycles` has at least
one of them, with its path.

Out of scope: fetching modules, which of several cycles to break, priorities.

    resolution = resolve([Candidate(owner="powernode", name="nginx", version=…, requires=("base@^1",)), …])
    resolution.conflicts, resolution.order
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from powernode.base.errors import DataError, OperatorError
from powernode.manifest.constraint import Constraint, Version

__all__ = ["Candidate", "Capability", "Requirement", "Resolution", "Unmet", "resolve"]

_SEGMENT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
_MODULE = re.compile(rf"(?:(?P<owner>{_SEGMENT})/)?(?P<name>{_SEGMENT})")
_TAG = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_CAPABILITY = "capability:"
_MAX_CHARACTERS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """`name` is a module's, or a capability's tag if `is_capability`."""

    name: str
    owner: str | None = None
    is_capability: bool = False
    constraint: Constraint | None = None

    @classmethod
    def parse(cls, text: str) -> Requirement:
        subject, at, constraint = text.partition("@")
        if len(text) > _MAX_CHARACTERS or (at and not constraint):
            raise _refusal("requirement", text)
        accepted = Constraint.parse(constraint) if at else None
        if subject.startswith(_CAPABILITY):
            tag = subject.removeprefix(_CAPABILITY)
            if not _TAG.fullmatch(tag):
                raise _refusal("tag", text)
            return cls(name=tag, is_capability=True, constraint=accepted)
        match = _MODULE.fullmatch(subject)
        if match is None:
            raise _refusal("requirement", text)
        return cls(name=match["name"], owner=match["owner"], constraint=accepted)

    def __str__(self) -> str:
        text = _CAPABILITY if self.is_capability else f"{self.owner}/" if self.owner is not None else ""
        return text + self.name + (f"@{self.constraint}" if self.constraint is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What a module provides: `tag` or `tag@1.2.3`."""

    tag: str
    version: Version | None = None

    @classmethod
    def parse(cls, text: str) -> Capability:
        tag, at, version = text.partition("@")
        if not _TAG.fullmatch(tag) or len(text) > _MAX_CHARACTERS:
            raise _refusal("tag", text)
        return cls(tag=tag, version=Version.parse(version) if at else None)

    def __str__(self) -> str:
        return self.tag + (f"@{self.version}" if self.version is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A module that could be chosen. Without a version it meets every constraint: it is the one being written."""

    name: str
    owner: str | None = None
    version: Version | None = None
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        text = f"{self.owner}/{self.name}" if self.owner is not None else self.name
        return f"{text}@{self.version}" if self.version is not None else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """`by` wanted `requirement`; `found` is what there was instead."""

    by: str
    requirement: str
    found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Labels of modules. `met`: (module, requirement, provider); `order`: providers first, cycles broken anywhere."""

    met: tuple[tuple[str, str, str], ...]
    missing: tuple[Unmet, ...]
    conflicts: tuple[Unmet, ...]
    ambiguous: tuple[Unmet, ...]
    cycles: tuple[tuple[str, ...], ...]
    order: tuple[str, ...]


def resolve(candidates: Iterable[Candidate]) -> Resolution:
    """Settle the requirements of all of them among themselves."""
    modules = sorted(candidates, key=_sort_key)
    labels = [module.label for module in modules]
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise OperatorError("dependency.duplicate", "a module is among the candidates twice", found=twice)
    met: list[tuple[str, str, str]] = []
    missing: list[Unmet] = []
    conflicts: list[Unmet] = []
    ambiguous: list[Unmet] = []
    edges: dict[str, list[str]] = {label: [] for label in labels}
    for module in modules:
        for text in module.requires:
            requirement = Requirement.parse(text)
            named = _named(requirement, module, modules)
            fitting = [provider for provider, version in named if _allows(requirement, provider, version)]
            found = tuple(provider.label for provider, _ in named)
            owners = {provider.owner for provider, _ in named}
            if not named:
                missing.append(Unmet(by=module.label, requirement=text))
            elif len(owners) > 1 and not requirement.is_capability:
                ambiguous.append(Unmet(by=module.label, requirement=text, found=found))
            elif not fitting:
                conflicts.append(Unmet(by=module.label, requirement=text, found=found))
            else:
                chosen = fitting[-1]
                met.append((module.label, text, chosen.label))
                edges[module.label].append(chosen.label)
    order, cycles = _walk(edges)
    return Resolution(
        met=tuple(met),
        missing=tuple(missing),
        conflicts=tuple(conflicts),
        ambiguous=tuple(ambiguous),
        cycles=cycles,
        order=order,
    )


def _sort_key(module: Candidate) -> tuple[object, ...]:
    """The newest version of a module last; one without a version is newer than all."""
    version = module.version
    return module.name, module.owner or "", version is None, version.precedence if version else (), module.label


def _named(
    requirement: Requirement, by: Candidate, modules: Sequence[Candidate]
) -> list[tuple[Candidate, Version | None]]:
    """The modules a requirement could mean, whatever their version, with the version that counts."""
    if requirement.is_capability:
        return [
            (module, capability.version)
            for module in modules
            for capability in map(Capability.parse, module.provides)
            if capability.tag == requirement.name
        ]
    named = [module for module in modules if module.name == requirement.name]
    if requirement.owner is not None:
        named = [module for module in named if module.owner == requirement.owner]
    elif any(module.owner == by.owner for module in named):
        named = [module for module in named if module.owner == by.owner]
    return [(module, module.version) for module in named]


def _allows(requirement: Requirement, provider: Candidate, version: Version | None) -> bool:
    if requirement.constraint is None:
        return True
    if version is None:
        return not requirement.is_capability and provider.version is None
    return requirement.constraint.allows(version)


def _walk(edges: dict[str, list[str]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Depth first without recursion: whoever is met again on the way to itself closes a cycle."""
    order: list[str] = []
    done: set[str] = set()
    cycles: dict[tuple[str, ...], None] = {}
    for start in edges:
        if start in done:
            continue
        trail = [start]
        pending = [iter(edges[start])]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                done.add(trail[-1])
                order.append(trail.pop())
            elif following in trail:
                cycle = trail[trail.index(following) :]
                first = cycle.index(min(cycle))
                cycles[(*cycle[first:], *cycle[:first], cycle[first])] = None
            elif following not in done:
                trail.append(following)
                pending.append(iter(edges[following]))
    return tuple(order), tuple(cycles)


def _refusal(cause: str, text: str) -> DataError:
    if cause == "tag":
        expected = "lower-case words with dots or hyphens between them: container.runtime, or container.runtime@1.2.0"
        return DataError(
            "dependency.tag",
            "this is no capability",
            expected=f"{expected} where it is provided",
            found=repr(text[:100]),
        )
    hint = None
    if text.count("/") > 1:
        hint = "the registry is not part of it; owner and name are enough"
    elif re.search(r"[\^~<>=]", text) and "@" not in text:
        hint = "there is an @ between the name and the constraint"
    return DataError(
        "dependency.requirement",
        "this is no requirement",
        expected="owner/module@^1.0, module, or capability:tag@>=1.2",
        found=repr(text[:100]),
        hint=hint,
    )
