# SPDX-License-Identifier: MIT
"""powernode verity kernels"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option, natural
from powernode.verity import kernels

COMMAND = Command(
    "verity kernels",
    "",
    "Shows the hash kernels built in, which this CPU can run, and how fast each one is on data in the cache. `*` "
    "marks the one in use.",
    options=(
        Option("--kib", "N", "data each kernel hashes in one round, in KiB (default 192)", natural, default=192),
        Option("--json", None, "one JSON object per line for machines"),
    ),
    example="powernode verity kernels\n* sha256-mixed-8        5.41 GB/s",
    most=0,
)


def run(arguments: Arguments) -> int:
    for kernel in kernels.race(max(64, arguments.kib)):
        if arguments.json:
            import json

            print(json.dumps(kernel.as_dict()))
        elif not kernel.usable:
            print(f"  {kernel.name:22} not on this CPU")
        else:
            print(f"{'*' if kernel.in_use else ' '} {kernel.name:22} {kernel.bytes_per_second / 1e9:.2f} GB/s")
    return 0
