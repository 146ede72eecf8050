# SPDX-License-Identifier: MIT
"""powernode composefs ls"""

from __future__ import annotations

from powernode.cli.composefs.shared import FILTER, names_to_keep, read
from powernode.cli.options import Arguments, Command
from powernode.cli.output import write_bytes

COMMAND = Command(
    "composefs ls",
    "IMAGE…",
    "Lists the paths in images: directories end with a slash, files name their object, symbolic links their target.",
    options=(FILTER,),
    example="powernode composefs ls root.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images

    names = names_to_keep(arguments)
    for path in arguments.operands:
        write_bytes(images.listing(read(path, "an image"), only=names))
    return 0
