# SPDX-License-Identifier: MIT
"""Perform a plan: every step in a folder of its own beside the result, then one exchange.

Invariants: the output folder holds the old build or the new one, never a part; a failed build leaves the old one and
nothing else; nothing outside the output's parent and the cache is written.

    build(plan, sources, Path("initramfs/images/kernel-initrd/amd64"), report=print)
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from powernode import __version__
from powernode.image import manifest
from powernode.image.inputs import Inputs
from powernode.image.plan import Plan, Report, Workspace

__all__ = ["Sources", "build", "perform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where bytes come from: the packages of the image and of the machine that builds, and what is kept of both."""

    inputs: Inputs
    host_inputs: Inputs
    cache: Path


def build(plan: Plan, sources: Sources, out: Path, *, report: Report) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as text:
        new, old = Path(text) / "new", Path(text) / "old"
        perform(plan, sources, new, report=report)
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise


def perform(plan: Plan, sources: Sources, folder: Path, *, report: Report) -> None:
    """Run the steps into a new folder and write its manifest."""
    before = os.umask(0o022)  # the caller's would show in the modes of what is made
    try:
        folder.mkdir()
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
    finally:
        os.umask(before)
