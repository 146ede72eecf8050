# SPDX-License-Identifier: MIT
"""powernode image verify"""

from __future__ import annotations

import sys

from powernode.base.errors import DataError, OperatorError
from powernode.cli.image.options import CONTENT_OPTIONS
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from powernode.image.build import Sources
    from powernode.image.compare import Difference, Origins
    from powernode.image.manifest import Built
    from powernode.image.plan import Plan

COMMAND = Command(
    "image verify",
    "DIR",
    "Checks a build against its own checksums, builds it again from freshly unpacked packages, and names the first "
    "byte that differs, the file it is in and the input that came from. Give the options it was built with.",
    options=(*CONTENT_OPTIONS, Option("--json", None, "one JSON object for machines")),
    example="powernode image verify initramfs/images/kernel-initrd/arm64",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import os
    import tempfile
    from pathlib import Path

    from powernode.cli.image.options import plan_work
    from powernode.debian.inputs import default_cache
    from powernode.image.build import perform
    from powernode.image.compare import compare
    from powernode.image.manifest import check_sums, read

    folder = Path(arguments.operands[0])
    check_sums(folder)
    built = read(folder)
    work = plan_work(arguments, built.arch, built.board, [built.variant])
    (plan,) = work.plans
    _require_same_plan(folder, built, plan)
    with tempfile.TemporaryDirectory(prefix="powernode-verify-") as text:
        # What was downloaded is checked again anyway; what was unpacked, compiled or compressed is not trusted.
        cache = Path(text) / "cache"
        cache.mkdir()
        debs = default_cache(os.environ) / "debs"
        debs.mkdir(parents=True, exist_ok=True)
        (cache / "debs").symlink_to(debs.absolute())
        again = Path(text) / "again"
        sources = work.sources(cache)
        perform(plan, sources, again, report=lambda text: print(f"  {text}", file=sys.stderr))
        differences = list(compare(folder, again, _origins(plan, sources)))
        tools = read(again).tools
    if arguments.json:
        _print_json(plan, differences)
        return DataError.exit_status if differences else 0
    if differences:
        others = [f"{name} {built.tools.get(name)!r:.80}, not {ours!r}" for name, ours in tools.items()]
        others = [text for text, name in zip(others, tools, strict=True) if built.tools.get(name) != tools[name]]
        raise DataError(
            "image.verify.differs",
            f"{folder} is not what its plan makes",
            expected=f"the bytes of plan {plan.digest}",
            found="; ".join(item.describe() for item in differences),
            hint=f"it says it was built with {', '.join(others)}" if others else None,
        )
    print(f"identical: {folder} is what plan {plan.digest} makes")
    return 0


def _require_same_plan(folder: Path, built: Built, plan: Plan) -> None:
    from powernode.image.plan import changed

    found = list(changed(dict(built.plan), plan.as_dict()))
    if found or built.plan_digest != plan.digest:
        raise OperatorError(
            "image.verify.plan",
            f"{folder} was built by another plan: another checkout, lock, module or option",
            expected=f"plan {plan.digest}",
            found=f"plan {built.plan_digest} with other {', '.join(found[:5]) or 'contents'}",
            hint="give the options it was built with; `powernode image plan` shows what they make",
        )


def _origins(plan: Plan, sources: Sources) -> Origins:
    from powernode.image.compare import Origins
    from powernode.image.steps.persist import WritePersist

    return Origins(
        board=plan.board,
        packages={f"{item.name} {item.version}": sources.inputs.tree(item.name) for item in sources.inputs.used},
        modules=[module for step in plan.steps if isinstance(step, WritePersist) for module in step.directories],
    )


def _print_json(plan: Plan, differences: list[Difference]) -> None:
    import json

    found = [
        {"artifact": item.artifact, "offset": item.offset, "inside": item.inside, "origin": item.origin}
        for item in differences
    ]
    print(json.dumps({"plan": plan.digest, "identical": not differences, "differences": found}))
