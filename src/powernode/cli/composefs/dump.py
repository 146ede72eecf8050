# SPDX-License-Identifier: MIT
"""powernode composefs dump"""

from __future__ import annotations

from powernode.cli.composefs.shared import FILTER, names_to_keep, read
from powernode.cli.options import Arguments, Command
from powernode.cli.output import write_bytes

COMMAND = Command(
    "composefs dump",
    "IMAGE…",
    "Prints images as dump text, from which the same image can be made again.",
    options=(FILTER,),
    example="powernode composefs dump root.cfs | powernode composefs create --from-file - copy.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images

    names = names_to_keep(arguments)
    for path in arguments.operands:
        write_bytes(images.dump(read(path, "an image"), only=names))
    return 0
