# SPDX-License-Identifier: MIT
"""Everything that can be said about a module's source before it is built, with line and column.

Invariants: the rules of the manifest are `manifest.model`'s and no others; nothing is fetched or written; the same
source and the same knowledge give the same findings in the same order. What could not be checked is said, not left out
silently. An error means that the build, the platform or a node would refuse the module or ship something other than
what the manifest says; a warning, that it says something without effect.

Out of scope: getting to know packages (`known`, and the caller), the paths of a built tree (`carve`).

    report = validate(Path("my-redis"), ask=lambda request: "not asked")
    for finding in report.findings:
        print(finding)              # my-redis/manifest.yaml:3:1: manifest.unknown-key: … (hint: did you mean mask?)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from powernode.base.errors import DataError, PowernodeError
from powernode.manifest.model import from_document, problems
from powernode.manifest.problem import Problem, path_text
from powernode.module import old_layout
from powernode.module._cross import other_findings, read_other
from powernode.module._globcheck import glob_findings
from powernode.module.document import Document, Trap, examine
from powernode.module.known import Known
from powernode.module.lock import Request
from powernode.module.source import MANIFEST, Source, list_rootfs, read_manifest
from powernode.module.stages import rootfs_folders
from powernode.module.suggest import key_hint, near, value_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json
    from powernode.manifest.problem import Path as ValuePath

__all__ = ["Ask", "Finding", "Report", "validate"]

Ask = Callable[[Request], "Known | str"]
"""What is known of the packages of a request, or why nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`line` and `column` count from 1."""

    file: str
    line: int
    column: int
    problem: Problem
    is_warning: bool = False

    def __str__(self) -> str:
        problem = self.problem
        parts = (("expected", problem.expected), ("found", problem.found), ("hint", problem.hint))
        more = ", ".join(f"{label}: {text}" for label, text in parts if text is not None)
        severity = "warning: " if self.is_warning else ""
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {severity}{problem.code}: {problem.message}" + (f" ({more})" if more else "")

    def as_dict(self) -> dict[str, Json]:
        problem = self.problem
        found: dict[str, Json] = {
            "severity": "warning" if self.is_warning else "error",
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": path_text(problem.path) if problem.path else "",
            "code": problem.code,
            "message": problem.message,
        }
        more = {"expected": problem.expected, "found": problem.found, "hint": problem.hint}
        return found | {name: text for name, text in more.items() if text is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`unchecked`: what could not be looked at, and why."""

    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        return sum(not finding.is_warning for finding in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.errors


def validate(folder: Path, *, ask: Ask, others: Sequence[Path] = ()) -> Report:
    """All findings about the module in `folder`, also against the modules that it will be together with."""
    file = str(folder / MANIFEST)
    reading = examine(read_manifest(folder))
    findings = [_trapped(file, trap) for trap in reading.traps]
    if reading.document is None:
        return Report(findings=tuple(findings), unchecked=("the manifest, as it could not be read",))
    document = reading.document
    # A value in doubt has had its say; the first one of a key that is there twice, and what is in a list, has not.
    doubtful = {trap.problem.path for trap in reading.traps if not trap.problem.at_key}
    if isinstance(document.value, dict):
        doubtful.discard(())
    wrong = _document_problems(document.value, doubtful)
    more: list[tuple[Problem, bool]] = [(problem, False) for problem in wrong]
    unchecked: list[str] = []
    if not wrong and not reading.traps:
        source, faults = _source(folder, document)
        wrong += faults
        more += [(problem, False) for problem in faults]
    if wrong or reading.traps:
        unchecked.append("globs, packages and other modules, until these errors are gone")
    else:
        more += _package_findings(source, ask, unchecked)
        more += other_findings(source, [read_other(other) for other in others])
    findings += [_finding(file, document, problem, is_warning) for problem, is_warning in more]
    findings.sort(key=lambda finding: (finding.line, finding.column, finding.problem.code))
    return Report(findings=tuple(findings), unchecked=tuple(unchecked))


def _source(folder: Path, document: Document) -> tuple[Source, list[Problem]]:
    """With the files of all options, for those that are not asked for must not be wrong either; and what is wrong with
    their folders."""
    manifest = from_document(document.value)
    rootfs: dict[bytes, int] = {}
    faults = []
    for each in rootfs_folders(folder, tuple(option.name for option in manifest.build.options)):
        try:
            rootfs |= list_rootfs(each)
        except DataError as error:
            expected, found = error.expected, error.found
            faults.append(Problem(path=(), code=error.code, message=error.message, expected=expected, found=found))
    return Source(folder=folder, manifest=manifest, document=document, rootfs=rootfs), faults


def _document_problems(value: Json, doubtful: set[ValuePath]) -> list[Problem]:
    """The model's problems, with what an author may want to know; what is explained otherwise is left out."""
    explained = old_layout.explain(value)
    above = {problem.path for problem in explained}
    moved = {problem.path[-1] for problem in explained if len(problem.path) == 2 and problem.path[0] == "identity"}
    found = list(explained)
    for problem in problems(value):
        if problem.path in doubtful or any(problem.path[:length] in above for length in range(len(problem.path) + 1)):
            continue
        if problem.code == "manifest.missing" and (problem.expected or "").removeprefix("the key ") in moved:
            continue
        hint = problem.hint
        if problem.code == "manifest.unknown-key":
            hint = hint or key_hint(problem.path)
        elif problem.code == "manifest.value":
            hint = hint or value_hint(problem.path, _at(value, problem.path))
        found.append(replace(problem, hint=hint))
    return found


def _at(value: Json, path: ValuePath) -> Json:
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        else:
            return None
    return value


def _package_findings(source: Source, ask: Ask, unchecked: list[str]) -> list[tuple[Problem, bool]]:
    """Packages that are not there; then the globs, which need to know the packages' files."""
    manifest = source.manifest
    options = {option.name: option.packages for option in manifest.build.options}
    wanted: list[tuple[ValuePath, str]]
    wanted = [(("package_spec", number), name) for number, name in enumerate(manifest.package_spec)]
    wanted += [
        (("build", "options", place, "packages", number), name)
        for place, option in enumerate(manifest.build.options)
        for number, name in enumerate(option.packages)
    ]
    if not wanted:
        return glob_findings(source, {})
    found: list[tuple[Problem, bool]] = []
    known: Known | str
    try:
        known = ask(Request(suite=manifest.build.suite, packages=manifest.package_spec, options=options))
    except PowernodeError as error:
        if error.code != "module.lock.stale":
            raise
        problem = Problem(
            path=("package_spec",), code=error.code, message=error.message, found=error.found, hint=error.hint
        )
        unchecked.append("whether the packages exist, until the lock is renewed")
        return [(problem, False), *glob_findings(source, None)]
    if isinstance(known, str):
        unchecked.append(f"whether the packages exist: {known}")
        return glob_findings(source, None)
    for path, name in wanted:
        if name not in known.names:
            close = near(name, [other for other in known.names if other[:2] == name[:2]])
            hint = f"did you mean {close}?" if close is not None else None
            message = f"{name} is no package of {known.where}"
            found.append((Problem(path=path, code="module.package", message=message, found=name, hint=hint), False))
    return found + glob_findings(source, known.files)


def _trapped(file: str, trap: Trap) -> Finding:
    return Finding(file=file, line=trap.line, column=trap.column, problem=trap.problem)


def _finding(file: str, document: Document, problem: Problem, is_warning: bool) -> Finding:
    line, column = document.position(problem.path, at_key=problem.at_key)
    return Finding(file=file, line=line, column=column, problem=problem, is_warning=is_warning)
