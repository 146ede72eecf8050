# SPDX-License-Identifier: MIT
"""powernode composefs explain"""

from __future__ import annotations

from powernode.cli.composefs.modules import MODULE, read_modules
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_line

COMMAND = Command(
    "composefs explain",
    "PATH",
    "Says which module gives a path of the merged root, and which ones lost it by which rule.",
    options=(MODULE, Option("--json", None, "one JSON object for machines")),
    example="powernode composefs explain /etc/motd --module=base,priority=1000,tree=base.cfs "
    "--module=site,priority=5000,tree=./site",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs.merge import explain

    path = arguments.operands[0].encode("utf-8", "surrogateescape")
    explanation = explain(read_modules(arguments.module), path)
    if arguments.json:
        import json

        print(json.dumps(explanation.as_dict()))
    else:
        write_line(explanation.describe())
    return 0 if explanation.giver is not None else 1
