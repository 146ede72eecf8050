# SPDX-License-Identifier: MIT
"""powernode composefs gc"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.composefs.shared import read
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import Progress

COMMAND = Command(
    "composefs gc",
    "IMAGE…",
    "Removes the objects of a store that none of the images needs.",
    options=(
        Option("--basedir", "DIR", "the object store"),
        Option("--dry-run", None, "only say what would go"),
        Option("--remove-all", None, "no image at all: empty the store"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode composefs gc --dry-run --basedir=objects current.cfs previous.cfs",
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images
    from powernode.composefs.store import ObjectStore, object_path

    if not arguments.basedir:
        raise OperatorError("cli.option", "which store?", expected="--basedir=DIR")
    if bool(arguments.operands) == arguments.remove_all:
        raise OperatorError(
            "cli.operands",
            "no image means that nothing is needed" if not arguments.operands else "--remove-all keeps no image",
            expected="the images to keep, or --remove-all",
        )
    keep = [images.objects(read(path, "an image")) for path in arguments.operands]
    with Progress("gc") as progress:
        report = ObjectStore(arguments.basedir).gc(keep, dry_run=arguments.dry_run, progress=progress.steps())
    if arguments.json:
        import json

        removed = [object_path(digest) for digest in report.removed]
        absent = [object_path(digest) for digest in report.absent]
        print(
            json.dumps(
                {
                    "dry_run": report.dry_run,
                    "removed": removed,
                    "freed_bytes": report.freed_bytes,
                    "kept": report.kept,
                    "absent": absent,
                    "temporary_files": report.temporary_files,
                }
            )
        )
    else:
        verb = "would remove" if report.dry_run else "removed"
        print(f"{verb} {len(report.removed)} objects ({report.freed_bytes} bytes), kept {report.kept}")
    return 0
