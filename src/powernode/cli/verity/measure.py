# SPDX-License-Identifier: MIT
"""powernode verity measure"""

from __future__ import annotations

import os

from powernode.base.digest import Digest
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_line
from powernode.linux import fsverity

COMMAND = Command(
    "verity measure",
    "FILE…",
    "Prints the digest the kernel enforces for files that are sealed.",
    options=(Option("--json", None, "one JSON object per line for machines"),),
    example="powernode verity measure /var/lib/powernode/objects/ab/cdef…\nsha256:abcdef… "
    "/var/lib/powernode/objects/ab/cdef…",
    least=1,
)


def run(arguments: Arguments) -> int:
    for path in arguments.operands:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            digest = Digest(*fsverity.measure(fd))
        finally:
            os.close(fd)
        if arguments.json:
            import json

            print(json.dumps({"path": path, "algorithm": digest.algorithm, "digest": digest.hex}))
        else:
            write_line(f"{digest} {path}")
    return 0
