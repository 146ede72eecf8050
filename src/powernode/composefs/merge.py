# SPDX-License-Identifier: MIT
"""The merge: modules' trees and their ownership rules in, one tree out, with an account of every path that lost.

A pure function with the same result on the platform, in the builder and on the node, so that a root is one number.
Invariants: the order of the input does not matter; every path of every module is in the result, in `lost` or in
`removed`; conflicts are collected and raised together; time is linear in the number of entries, times the modules whose
globs can still match where an entry is. The choices behind the rules: docs/adr/0002-merge-semantics.md.

Steps: each tree is carved by its own rules (`_carve`), others take what they protect or reserve (`_ownership`), what is
left is laid over each other (`_stacking`).

Out of scope: globs (anything that satisfies `matching.PathMatcher`), priorities, images.

    result = merge([MergeInput(name="base", effective_priority=120000, tree=tree, file_spec=compile_globs(["/**"]))])
    explain(result, b"/etc/motd").describe()
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from powernode.base.errors import OperatorError
from powernode.composefs._carve import carve
from powernode.composefs._ownership import Findings, Member, Ownership
from powernode.composefs._show import decoded, shown
from powernode.composefs._stacking import Stack
from powernode.composefs.matching import PathMatcher
from powernode.composefs.report import Conflict, Loss, MergeConflictError, Rule
from powernode.composefs.tree import Directory, Symlink

__all__ = ["Explanation", "MergeInput", "MergeResult", "explain", "merge"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MergeInput:
    """One module. A dependant names its `parent` and has no file_spec: it is the parent's dependency_spec."""

    name: str
    effective_priority: int
    tree: Directory
    file_spec: PathMatcher | None = None
    mask: PathMatcher | None = None
    protected_spec: PathMatcher | None = None
    dependency_spec: PathMatcher | None = None
    locked: bool = False
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MergeResult:
    """`givers`: who gave each path of the tree (of a directory: its attributes); `removed`: whose whiteout leaves
    a path empty."""

    tree: Directory
    modules: tuple[str, ...]
    lost: tuple[Loss, ...]
    givers: Mapping[bytes, str]
    removed: Mapping[bytes, str]

    def describe(self) -> str:
        """For people: the stack, then a line for each path that lost."""
        heading = f"{len(self.givers)} paths from {', '.join(self.modules)} (highest first); {len(self.lost)} lost"
        return "\n".join([heading, *(loss.describe() for loss in self.lost)])

    def as_dict(self) -> dict[str, object]:
        """For JSON; the tree itself is not in it."""
        return {
            "modules": list(self.modules),
            "paths": len(self.givers),
            "lost": [loss.as_dict() for loss in self.lost],
            "removed": {decoded(path): name for path, name in sorted(self.removed.items())},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything the merge has to say about one path. `through`: a symbolic link on the way there, never followed."""

    path: bytes
    giver: str | None
    removed_by: str | None
    lost: tuple[Loss, ...]
    conflicts: tuple[Conflict, ...]
    through: bytes | None

    def describe(self) -> str:
        """For people, one line per fact."""
        path = shown(self.path)
        if self.giver is not None:
            lines = [f"{path} is given by {self.giver}"]
        elif self.removed_by is not None:
            lines = [f"{path} is not in the result: {self.removed_by} removes it"]
        else:
            lines = [f"{path} is not in the result" if self.lost else f"{path} is in no module"]
        if self.through is not None:
            lines.append(f"{shown(self.through)} is a symbolic link; ask for the path it leads to")
        lines += [conflict.describe() for conflict in self.conflicts]
        return "\n".join(lines + [loss.describe() for loss in self.lost])

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "path": decoded(self.path),
            "giver": self.giver,
            "removed_by": self.removed_by,
            "lost": [loss.as_dict() for loss in self.lost],
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
            "through": None if self.through is None else decoded(self.through),
        }


def merge(modules: Sequence[MergeInput]) -> MergeResult:
    """Merge, or raise MergeConflictError with every conflict there is."""
    result, conflicts = _decide(modules)
    if conflicts:
        raise MergeConflictError(conflicts)
    return result


def explain(source: MergeResult | Sequence[MergeInput], path: bytes) -> Explanation:
    """Who gave the path, who lost it and why. Modules that cannot be merged can still be asked about."""
    if path != b"/" and (not path.startswith(b"/") or {b"", b".", b".."} & set(path[1:].split(b"/"))):
        raise OperatorError(
            "merge.path",
            "only the plain path of one file can be explained",
            expected="an absolute path without . and .. and without a trailing /",
            found=shown(path),
        )
    result, conflicts = (source, ()) if isinstance(source, MergeResult) else _decide(source)
    first = bisect_left(result.lost, path, key=lambda loss: loss.path)
    after = bisect_left(result.lost, path + b"\0", key=lambda loss: loss.path)
    return Explanation(
        path=path,
        giver=result.givers.get(path),
        removed_by=result.removed.get(path),
        lost=result.lost[first:after],
        conflicts=tuple(c for c in conflicts if c.path == path or path.startswith(c.path.rstrip(b"/") + b"/")),
        through=_symlink_above(result.tree, path),
    )


def _decide(modules: Sequence[MergeInput]) -> tuple[MergeResult, tuple[Conflict, ...]]:
    stack = sorted(modules, key=lambda module: (-module.effective_priority, module.name))
    _check(stack)
    rank_of = {module.name: rank for rank, module in enumerate(stack)}
    findings = Findings()
    members = [_member(module, stack, rank_of, findings) for module in stack]
    ownership = Ownership(members, findings)
    layers = Stack(members, findings)
    tree = layers.merge([ownership.apply(rank) for rank in range(len(members))])
    result = MergeResult(
        tree=tree,
        modules=tuple(member.name for member in members),
        lost=tuple(sorted(findings.losses, key=lambda loss: (loss.path, loss.loser, loss.rule.value))),
        givers={path: members[rank].name for path, rank in layers.givers.items()},
        removed={path: members[rank].name for path, rank in layers.removed.items()},
    )
    conflicts = sorted(findings.conflicts.values(), key=lambda c: (c.path, c.kind.value, c.modules))
    return result, tuple(conflicts)


def _member(module: MergeInput, stack: Sequence[MergeInput], rank_of: Mapping[str, int], findings: Findings) -> Member:
    parent = None if module.parent is None else rank_of[module.parent]
    file_spec = module.file_spec if parent is None else stack[parent].dependency_spec
    assert file_spec is not None  # _check saw to it

    def log(path: bytes, rule: Rule) -> None:
        findings.losses.append(Loss(path=path, loser=module.name, winner=None, rule=rule))

    reserves = (file_spec, module.dependency_spec) if module.locked else ()
    carved = carve(module.tree, file_spec=file_spec, mask=module.mask, log=log)
    return Member(
        name=module.name,
        priority=module.effective_priority,
        parent=parent,
        tree=carved.tree,
        borrowed=carved.borrowed,
        protects=module.protected_spec,
        reserves=tuple(matcher for matcher in reserves if matcher is not None),
    )


def _check(stack: Sequence[MergeInput]) -> None:
    """Refuse modules that do not make a stack, with everything that is wrong with them."""
    problems: list[str] = [] if stack else ["there is no module to merge"]
    by_name = {module.name: module for module in stack}
    if len(by_name) < len(stack):
        names = [module.name for module in stack]
        problems += [f"{name} is there more than once" for name in by_name if names.count(name) > 1]
    for module in stack:
        if module.parent is None:
            if module.file_spec is None:
                problems.append(f"{module.name} has no file_spec")
            continue
        parent = by_name.get(module.parent)
        if module.file_spec is not None:
            problems.append(f"{module.name} has a file_spec, but takes the dependency_spec of {module.parent}")
        if parent is None:
            problems.append(f"{module.name} depends on {module.parent}, which is not there")
            continue
        if parent.parent is not None:
            problems.append(f"{module.name} depends on {parent.name}, which is a dependant itself")
        if parent.dependency_spec is None:
            problems.append(f"{module.name} depends on {parent.name}, which has no dependency_spec")
        if module.effective_priority <= parent.effective_priority:
            problems.append(f"{module.name} could not override {parent.name}: its effective priority is not higher")
    if problems:
        raise OperatorError("merge.input", "these modules do not make a stack", found="; ".join(problems))


def _symlink_above(tree: Directory, path: bytes) -> bytes | None:
    at = tree
    walked = b""
    for name in path[1:].split(b"/")[:-1]:
        walked += b"/" + name
        node = at.entries.get(name)
        if not isinstance(node, Directory):
            return walked if isinstance(node, Symlink) else None
        at = node
    return None
