# SPDX-License-Identifier: MIT
"""powernode composefs dump"""

from __future__ import annotations

from powernode.cli.composefs.shared import read
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_bytes

COMMAND = Command(
    "composefs dump",
    "IMAGE…",
    "Prints images as dump text, from which the same image can be made again.",
    options=(
        Option("--filter", "NAME", "only this entry of the root and what is below it; may be repeated", repeat=True),
    ),
    example="powernode composefs dump root.cfs | powernode composefs create --from-file - copy.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images

    names = [name.encode("utf-8", "surrogateescape") for name in arguments.filter]
    for path in arguments.operands:
        write_bytes(images.dump(read(path, "an image"), only=names))
    return 0
