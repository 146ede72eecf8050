# SPDX-License-Identifier: MIT
"""What a build will do, said before it is done: frozen steps that describe themselves, and one digest for all of them.

Invariants: a plan is complete: whatever can change a byte of the result is in it, by version or digest, but for tools
of the machine that builds (compiler, zstd, e2fsprogs), which the build manifest names; making one downloads nothing and
builds nothing; the same checkout, lock, modules and options give the same plan on all machines of one architecture.

    plan = variants.plan("kernel-initrd", request)
    print(plan.describe()); plan.digest          # 64 hex digits
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from powernode.base.canonical import encode
from powernode.debian.inputs import Inputs

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Plan", "Report", "Step", "Workspace", "changed", "digest_of_files"]

Report = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Workspace:
    """Where a build happens. Steps write artifacts into `out`; `facts` and `tools` end in the build manifest."""

    out: Path
    cache: Path
    inputs: Inputs
    host_inputs: Inputs
    """The packages of the machine that builds; `inputs` where that has the image's architecture."""
    report: Report
    facts: dict[str, object] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)


class Step(Protocol):
    """One thing to do: a frozen dataclass whose fields are all that it depends on."""

    def describe(self) -> str: ...

    def run(self, workspace: Workspace) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    variant: str
    arch: str
    board: str
    packages: tuple[str, ...]
    """Every pinned input as `name version sha256`."""
    steps: tuple[Step, ...]

    def as_dict(self) -> dict[str, Json]:
        return {
            "variant": self.variant,
            "arch": self.arch,
            "board": self.board,
            "packages": list(self.packages),
            "steps": [{"step": type(step).__name__, **_values(step)} for step in self.steps],
        }

    @property
    def digest(self) -> str:
        return hashlib.sha256(encode(self.as_dict())).hexdigest()

    def describe(self) -> str:
        lines = [f"{self.variant} for {self.arch}, board {self.board}, plan {self.digest}", "inputs:"]
        lines += [f"  {package}" for package in self.packages]
        lines += ["steps:", *(f"  {number}. {step.describe()}" for number, step in enumerate(self.steps, 1))]
        return "\n".join(lines)


def digest_of_files(root: Path, paths: list[Path]) -> str:
    """One digest for some files: their paths below `root` and their contents."""
    total = hashlib.sha256()
    for path in sorted(paths):
        data = path.read_bytes()
        total.update(f"{path.relative_to(root).as_posix()}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def changed(old: Json, new: Json, at: str = "") -> Iterator[str]:
    """Where two documents differ, as far as `new` goes: `packages[3]`, `steps[1].sources`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in new:
            yield from changed(old.get(name), new[name], f"{at}.{name}" if at else name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from changed(one, other, f"{at}[{number}]")
    elif old != new:
        yield at


def _values(step: Step) -> dict[str, Json]:
    """The fields of a step as JSON; paths are where bytes come from, never what they are, so they stay out."""
    found: dict[str, Json] = {}
    for item in fields(step):  # type: ignore[arg-type]
        value = getattr(step, item.name)
        if isinstance(value, Path) or item.metadata.get("local"):
            continue
        found[item.name] = _plain(value)
    return found


def _plain(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"a step's field must be plain data, not {type(value).__name__}")
