# SPDX-License-Identifier: MIT
"""powernode composefs fsck"""

from __future__ import annotations

import os

from powernode.cli.options import Arguments, Command, Option, natural
from powernode.cli.output import Progress, write_line

COMMAND = Command(
    "composefs fsck",
    "STORE",
    "Reads every object of a store and compares it with its name. Exit status 1 if anything is wrong.",
    options=(
        Option("--repair", None, "set damaged objects aside, seal unsealed ones, remove what dead writers left"),
        Option("--jobs", "N", "threads; 0 (default) takes all CPUs", natural, default=0, short="-j"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode composefs fsck --repair /var/lib/powernode/objects",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    from powernode import verity
    from powernode.composefs.store import ObjectStore, object_path

    jobs = arguments.jobs or os.cpu_count() or 1
    store = ObjectStore(arguments.operands[0])
    with Progress("fsck") as progress:
        report = store.fsck(
            lambda fd: verity.digest_fd(fd, threads=1).value,
            repair=arguments.repair,
            jobs=jobs,
            progress=progress.steps(),
        )
    damaged = [f"{object_path(damage.digest)}: {damage.reason}" for damage in report.damaged]
    lists = {
        "damaged": damaged,
        "misnamed": list(report.misnamed),
        "unsealed": [object_path(digest) for digest in report.unsealed],
        "temporary": list(report.temporary),
    }
    if arguments.json:
        import json

        print(
            json.dumps(
                {"checked": report.checked, "size_bytes": report.size_bytes, **lists, "repaired": report.repaired}
            )
        )
    else:
        for kind, names in lists.items():
            for name in names:
                write_line(f"{kind} {name}")
        print(f"{report.checked} objects, {report.size_bytes} bytes: {'clean' if report.is_clean else 'not clean'}")
    return 0 if report.is_clean or report.repaired else 1
