# SPDX-License-Identifier: MIT
"""powernode-agent introspect"""

from __future__ import annotations

import time

from powernode.agent.introspect import introspect
from powernode.agent.paths import Paths
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

COMMAND = Command(
    "introspect",
    "",
    "Prints everything this node knows about itself, each value with the place it comes from. Secrets are redacted.",
    options=(
        Option("--root", "PREFIX", "use the tree at PREFIX instead of /", default="/"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode-agent introspect --json",
    most=0,
    program="powernode-agent",
)


def run(arguments: Arguments) -> int:
    from powernode import __version__, native
    from powernode.agent.identity.surroundings import Surroundings

    paths = Paths(arguments.root)
    surroundings = Surroundings(root=paths.at("/"), clock=time.monotonic, sleep=time.sleep)
    document = introspect(paths, surroundings, version=__version__, library=native.reason())
    if arguments.json:
        from powernode.base.canonical import encode

        print(encode(document).decode())
    else:
        for name, value in document.items():
            _print(name, value, "")
    return 0


def _print(name: str, value: Json, indent: str) -> None:
    if isinstance(value, dict) and set(value) == {"value", "source", "place"}:
        print(f"{indent}{name}: {value['value']}  (from {value['source']}: {value['place']})")
    elif isinstance(value, dict):
        print(f"{indent}{name}:")
        for key, item in value.items():
            _print(key, item, indent + "  ")
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        print(f"{indent}{name}:")
        for number, item in enumerate(value, 1):
            _print(str(number), item, indent + "  ")
    elif isinstance(value, list):
        print(f"{indent}{name}: {', '.join(map(str, value)) or '-'}")
    else:
        print(f"{indent}{name}: {'-' if value is None else value}")
