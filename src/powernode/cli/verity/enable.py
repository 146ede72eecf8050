# SPDX-License-Identifier: MIT
"""powernode verity enable"""

from __future__ import annotations

import os

from powernode.cli.options import Arguments, Command, Option
from powernode.cli.verity.shared import PARAMETERS, params
from powernode.linux import fsverity

COMMAND = Command(
    "verity enable",
    "FILE…",
    "Seals files: from then on the kernel checks every read against the digest and refuses every write.",
    options=(*PARAMETERS, Option("--if-needed", None, "a file that is sealed already is no error")),
    example="powernode verity enable --if-needed /var/lib/powernode/objects/ab/cdef…",
    least=1,
)


def run(arguments: Arguments) -> int:
    from powernode.base.errors import MachineError

    parameters = params(arguments)
    for path in arguments.operands:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            fsverity.enable(fd, algorithm=parameters.algorithm, block_size=parameters.block_size, salt=parameters.salt)
        except MachineError as error:
            if not (arguments.if_needed and error.code == "linux.fsverity.already-enabled"):
                raise
        finally:
            os.close(fd)
    return 0
