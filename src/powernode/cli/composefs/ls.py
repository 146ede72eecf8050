# SPDX-License-Identifier: MIT
"""powernode composefs ls"""

from __future__ import annotations

from powernode.cli.composefs.shared import read
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_bytes

COMMAND = Command(
    "composefs ls",
    "IMAGE…",
    "Lists the paths in images: directories end with a slash, files name their object, symbolic links their target.",
    options=(
        Option("--filter", "NAME", "only this entry of the root and what is below it; may be repeated", repeat=True),
    ),
    example="powernode composefs ls root.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images

    names = [name.encode("utf-8", "surrogateescape") for name in arguments.filter]
    for path in arguments.operands:
        write_bytes(images.listing(read(path, "an image"), only=names))
    return 0
