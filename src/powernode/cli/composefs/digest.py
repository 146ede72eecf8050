# SPDX-License-Identifier: MIT
"""powernode composefs digest"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_line

COMMAND = Command(
    "composefs digest",
    "IMAGE…",
    "Prints the fs-verity digest of images: the number that stands for everything in them.",
    options=(
        Option("--check", None, "also read the whole image and refuse it if anything in it is wrong"),
        Option("--json", None, "one JSON object per line for machines"),
    ),
    example="powernode composefs digest --check root.cfs\n53cf8… root.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode import verity

    for path in arguments.operands:
        digest = verity.digest_file(path)
        if arguments.check:
            _check(path)
        if arguments.json:
            import json

            print(json.dumps({"path": path, "digest": digest.hex}))
        else:
            write_line(f"{digest.hex} {path}")
    return 0


def _check(path: str) -> None:
    from powernode.cli.composefs.shared import read
    from powernode.composefs import image

    image.objects(read(path, "an image"))
