# SPDX-License-Identifier: MIT
"""powernode image plan"""

from __future__ import annotations

from powernode.cli.image.options import CONTENT_OPTIONS, TARGET_OPTIONS
from powernode.cli.options import Arguments, Command, Option

COMMAND = Command(
    "image plan",
    "",
    "Prints what `image build` would do: every input by version and digest, every step, and one digest for all of it. "
    "Downloads and builds nothing.",
    options=(*TARGET_OPTIONS, *CONTENT_OPTIONS, Option("--json", None, "one JSON object for machines")),
    example="powernode image plan --arch arm64 --variant kernel-initrd",
    most=0,
)


def run(arguments: Arguments) -> int:
    from powernode.cli.image.options import work

    found = work(arguments).plans
    if arguments.json:
        import json

        print(json.dumps({"plans": [{**plan.as_dict(), "sha256": plan.digest} for plan in found]}))
    else:
        print("\n\n".join(plan.describe() for plan in found))
    return 0
