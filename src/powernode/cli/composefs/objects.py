# SPDX-License-Identifier: MIT
"""powernode composefs objects"""

from __future__ import annotations

from powernode.cli.composefs.shared import FILTER, names_to_keep, read
from powernode.cli.options import Arguments, Command
from powernode.cli.output import write_bytes

COMMAND = Command(
    "composefs objects",
    "IMAGE…",
    "Lists the objects images need, each once, as paths in an object store.",
    options=(FILTER,),
    example="powernode composefs objects root.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images

    names = names_to_keep(arguments)
    needed = {name for path in arguments.operands for name in images.objects(read(path, "an image"), only=names)}
    write_bytes(b"".join(name + b"\n" for name in sorted(needed)))
    return 0
