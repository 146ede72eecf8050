# SPDX-License-Identifier: MIT
"""powernode image verify"""

from __future__ import annotations

import sys

from powernode.base.errors import DataError, OperatorError
from powernode.cli.image.options import BUILD_OPTIONS
from powernode.cli.options import Arguments, Command, Option

COMMAND = Command(
    "image verify",
    "DIR",
    "Checks a build against its own checksums, builds it again from freshly unpacked packages, and names the first "
    "byte that differs, the file it is in and the input that came from. Give the options it was built with.",
    options=(*BUILD_OPTIONS, Option("--json", None, "one JSON object for machines")),
    example="powernode image verify initramfs/images/kernel-initrd/arm64",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import json
    import os
    import tempfile
    from pathlib import Path

    from powernode.cli.image.options import plans, sources
    from powernode.image.build import perform
    from powernode.image.compare import compare
    from powernode.image.inputs import default_cache
    from powernode.image.manifest import MANIFEST, check_sums

    folder = Path(arguments.operands[0])
    check_sums(folder)
    built = json.loads((folder / MANIFEST).read_text())["plan"]
    vars(arguments).update(arch=built["arch"], board=built["board"], variant=[built["variant"]])
    (plan,) = plans(arguments)
    if plan.digest != built["sha256"]:
        raise OperatorError(
            "image.verify.plan",
            f"{folder} was built by another plan: another checkout, lock, module or option",
            expected=built["sha256"],
            found=plan.digest,
            hint="compare with `powernode image plan`; give the options it was built with",
        )
    with tempfile.TemporaryDirectory(prefix="powernode-verify-") as text:
        # What was downloaded is checked again anyway; what was unpacked, compiled or compressed is not trusted.
        cache = Path(text) / "cache"
        cache.mkdir()
        debs = default_cache(os.environ) / "debs"
        debs.mkdir(parents=True, exist_ok=True)
        (cache / "debs").symlink_to(debs.absolute())
        again = Path(text) / "again"
        perform(plan, sources(arguments, cache), again, report=lambda text: print(f"  {text}", file=sys.stderr))
        differences = list(compare(folder, again))
    if arguments.json:
        found = [
            {"artifact": item.artifact, "offset": item.offset, "inside": item.inside, "origin": item.origin}
            for item in differences
        ]
        print(json.dumps({"plan": plan.digest, "identical": not differences, "differences": found}))
    elif not differences:
        print(f"identical: {folder} is what plan {plan.digest} makes")
    if differences and not arguments.json:
        raise DataError(
            "image.verify.differs",
            f"{folder} is not what its plan makes",
            expected=f"the bytes of plan {plan.digest}",
            found="; ".join(item.describe() for item in differences),
        )
    return DataError.exit_status if differences else 0
