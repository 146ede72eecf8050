# SPDX-License-Identifier: MIT
"""powernode-agent sets"""

from __future__ import annotations

import time

from powernode.agent.confirm import stage
from powernode.agent.paths import Paths
from powernode.agent.plan import store_in_use
from powernode.agent.sets import GOOD, PENDING, SetStore
from powernode.cli.options import Arguments, Command, Option

COMMAND = Command(
    "sets",
    "[FILE]",
    "Shows which boot set is the last known good one and which is pending. With a FILE, a signed set, makes that the "
    "pending one, if this node would accept it.",
    options=(
        Option("--root", "PREFIX", "use the tree at PREFIX instead of /", default="/"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode-agent sets new-set.json\ngood: 53cf8…\npending: ab12…, tried 0 times",
    most=1,
    program="powernode-agent",
)


def run(arguments: Arguments) -> int:
    paths = Paths(arguments.root)
    for path in arguments.operands:
        with open(path, "rb") as file:
            stage(file.read(), paths, now=int(time.time()))
    sets = SetStore(store_in_use(paths).sets)
    good, pending = sets.pointer(GOOD), sets.pointer(PENDING)
    attempts = 0 if pending is None else sets.attempts(pending)
    if arguments.json:
        import json

        print(json.dumps({"good": good, "pending": pending, "attempts": attempts}))
    else:
        print(f"good: {good or '-'}")
        print(f"pending: {f'{pending}, tried {attempts} times' if pending else '-'}")
    return 0
