# SPDX-License-Identifier: MIT
"""powernode-agent confirm"""

from __future__ import annotations

from powernode.agent.confirm import confirm
from powernode.agent.paths import Paths
from powernode.cli.options import Arguments, Command, Option

COMMAND = Command(
    "confirm",
    "",
    "Says that this boot is a good one: the set that is running becomes the last known good one.",
    options=(
        Option("--root", "PREFIX", "use the tree at PREFIX instead of /", default="/"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode-agent confirm\n53cf8… is the last known good set",
    most=0,
    program="powernode-agent",
)


def run(arguments: Arguments) -> int:
    set_id = confirm(Paths(arguments.root))
    if arguments.json:
        import json

        print(json.dumps({"good": set_id}))
    else:
        print(f"{set_id} is the last known good set" if set_id else "the base is running: there is nothing to confirm")
    return 0
