# SPDX-License-Identifier: MIT
"""powernode image set"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, natural, one_of

COMMAND = Command(
    "image set",
    "FILE",
    "Merges modules into one root and writes a signed boot set that names it: what `powernode-agent sets FILE` makes "
    "the next thing a node boots. The node needs the objects and images of the modules on its disk.",
    options=(
        Option("--modules", "DIR", "a module of the root, as a folder; repeat for several", repeat=True),
        Option("--key", "FILE", "the secret half of a key whose public half is in the node's image"),
        Option("--serial", "N", "the number of this set, higher than the last one's", natural),
        Option("--instance", "UUID", "the only machine that may run it (default: every one)", default="*"),
        Option("--not-after", "SECONDS", "when it expires, in seconds since 1970 (default: never)", natural),
        Option(
            "--policy",
            "POLICY",
            "what becomes of changes to the root: ro, ephemeral or persistent",
            one_of("ro", "ephemeral", "persistent"),
            default="ephemeral",
        ),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode image set --modules build/system-base-arm64 --key fleet.key --serial 7 set-7.json",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    from pathlib import Path

    from powernode.base.durable import write_durably
    from powernode.image.sets import describe
    from powernode.module.directory import merge_root, read
    from powernode.signing.sets import sign_set

    for name, value in (("--modules", arguments.modules), ("--key", arguments.key), ("--serial", arguments.serial)):
        if value in (None, []):
            raise OperatorError("cli.option", f"{name} is missing", hint="powernode image set --help")
    modules = [read(Path(path)) for path in arguments.modules]
    root = merge_root(modules)
    boot_set = describe(
        modules,
        root,
        serial=arguments.serial,
        instance=arguments.instance,
        not_after=arguments.not_after,
        policy=arguments.policy,
    )
    write_durably(arguments.operands[0], sign_set(boot_set, Path(arguments.key).read_bytes()), mode=0o644)
    if arguments.json:
        import json

        print(json.dumps({"file": arguments.operands[0], "serial": boot_set.serial, "root": str(root.digest)}))
    else:
        print(f"{arguments.operands[0]}: set {boot_set.serial}, root {root.digest}")
    return 0
