# SPDX-License-Identifier: MIT
"""powernode composefs merge"""

from __future__ import annotations

import sys

from powernode.cli.composefs.modules import MODULE, read_modules
from powernode.cli.composefs.shared import write_atomically
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_line

COMMAND = Command(
    "composefs merge",
    "[IMAGE]",
    "Merges modules' trees into one root by their ownership rules and prints its digest. The order of the modules on "
    "the command line does not matter.",
    options=(
        MODULE,
        Option("--report", None, "print every path that lost, its winner and the rule"),
        Option("--json", None, "one JSON object for machines, with the report"),
    ),
    example="powernode composefs merge root.cfs --module=base,priority=1000,tree=base.cfs "
    "--module=site,priority=5000,tree=./site,rules=site.json",
    most=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images
    from powernode.composefs.merge import merge

    result = merge(read_modules(arguments.module))
    data = images.from_tree(result.tree, min_version=1)
    digest = images.digest(data).hex
    if arguments.operands:
        write_atomically(arguments.operands[0], data)
    if arguments.json:
        import json

        print(json.dumps({"digest": digest, "size_bytes": len(data), **result.as_dict()}))
        return 0
    write_line(digest)
    if arguments.report:
        write_line(result.describe())
    elif result.lost:
        print(f"{len(result.lost)} paths of modules were left out; --report says which and why", file=sys.stderr)
    return 0
