# SPDX-License-Identifier: MIT
"""Perform a plan: every step in a folder of its own beside the result, then one exchange.

Invariants: the output folder holds the old build or a new one, whole; a build that fails or is interrupted leaves the
old one and nothing else; of two builds of one output the later one stays; what no build made is never replaced; nothing
outside the output's parent and the cache is written.

Out of scope: a power cut (between the two renames of an exchange the old build is in a hidden folder beside its place).

    build(plan, sources, Path("initramfs/images/kernel-initrd/amd64"), report=print)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from powernode import __version__
from powernode.base.errors import MachineError, OperatorError
from powernode.debian.inputs import Inputs
from powernode.image import manifest
from powernode.image.plan import Plan, Report, Workspace
from powernode.module.place import beside, put

__all__ = ["Sources", "build", "perform"]

_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where bytes come from: the packages of the image and of the machine that builds, and what is kept of both."""

    inputs: Inputs
    host_inputs: Inputs
    cache: Path


def build(plan: Plan, sources: Sources, out: Path, *, report: Report) -> None:
    out = out.resolve()  # where a link leads, not in the link's place
    _refuse_others(out)
    with _on_this_machine(sources.cache), beside(out) as work:
        perform(plan, sources, work / "new", report=report)
        _refuse_others(out)
        put(work / "new", out)


def perform(plan: Plan, sources: Sources, folder: Path, *, report: Report) -> None:
    """Run the steps into a new folder and write its manifest."""
    before = os.umask(0o022)  # the caller's would show in the modes of what is made
    try:
        with _on_this_machine(sources.cache):
            folder.mkdir()
            _run(plan, sources, folder, report)
    finally:
        os.umask(before)


def _run(plan: Plan, sources: Sources, folder: Path, report: Report) -> None:
    workspace = Workspace(
        out=folder,
        cache=sources.cache,
        inputs=sources.inputs,
        host_inputs=sources.host_inputs,
        report=report,
        tools={"powernode": __version__},
    )
    for step in plan.steps:
        report(step.describe())
        step.run(workspace)
    used = {item.sha256: item for inputs in (sources.inputs, sources.host_inputs) for item in inputs.used}
    manifest.write(
        folder,
        manifest.Manifest(
            plan=plan.as_dict(),
            plan_digest=plan.digest,
            inputs=[asdict(used[digest]) for digest in sorted(used, key=lambda key: (used[key].name, key))],
            tools=workspace.tools,
            facts=workspace.facts,
        ),
    )


def _refuse_others(out: Path) -> None:
    """What is replaced is removed, so it had better be ours."""
    if not out.exists() or (out.is_dir() and ((out / manifest.SUMS).is_file() or not any(out.iterdir()))):
        return
    raise OperatorError(
        "image.build.out",
        f"{out} is there already and is no build",
        expected=f"a folder with {manifest.SUMS}, an empty one, or none",
        hint="remove it, or give another --out",
    )


@contextmanager
def _on_this_machine(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _SPACE:
            cause, hint = "no-space", f"free some space where the image goes and in {cache}"
        elif error.errno in _PLACE:
            cause, hint = "place", f"give another --out, or set POWERNODE_CACHE (now {cache})"
        else:
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise MachineError(
            f"image.build.{cause}", "the image cannot be written", found=f"{where}{error.strerror}", hint=hint
        ) from error
