# SPDX-License-Identifier: MIT
"""powernode composefs objects"""

from __future__ import annotations

from powernode.cli.composefs.shared import read
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_bytes

COMMAND = Command(
    "composefs objects",
    "IMAGE…",
    "Lists the objects images need, each once, as paths in an object store.",
    options=(
        Option("--filter", "NAME", "only this entry of the root and what is below it; may be repeated", repeat=True),
    ),
    example="powernode composefs objects root.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images

    names = [name.encode("utf-8", "surrogateescape") for name in arguments.filter]
    needed = {name for path in arguments.operands for name in images.objects(read(path, "an image"), only=names)}
    write_bytes(b"".join(name + b"\n" for name in sorted(needed)))
    return 0
