# SPDX-License-Identifier: MIT
"""powernode image fetch"""

from __future__ import annotations

import sys

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, one_of

GROUPS = ("initramfs", "kernel-cloud", "system-base")

COMMAND = Command(
    "image fetch",
    "",
    "Downloads the packages of the lock that are not in the cache yet, and checks all of them, so that builds need no "
    "network.",
    options=(
        Option("--arch", "ARCH", "amd64 or arm64", one_of("amd64", "arm64")),
        Option("--group", "NAME", f"a group of the lock; may be repeated (default: {', '.join(GROUPS)})", repeat=True),
        Option("--lock", "FILE", "the lock (default: initramfs/lock/ARCH.json)"),
        Option("--archive", "URL", "a Debian archive or snapshot (default: that of this machine's apt sources)"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode image fetch --arch arm64 --group kernel-generic",
    most=0,
)


def run(arguments: Arguments) -> int:
    from powernode.cli.image.options import sources

    if not arguments.arch:
        raise OperatorError("cli.option", "which architecture?", expected="--arch=amd64 or --arch=arm64")
    inputs = sources(arguments).inputs
    packages = {item.name: item for name in arguments.group or GROUPS for item in inputs.lock.group(name)}
    size = sum(item.size for item in packages.values())
    done = 0
    for name in sorted(packages):
        inputs.deb(name)
        done += packages[name].size
        if sys.stderr.isatty() and not arguments.json:
            print(f"\r{done / 1e6:7.1f} of {size / 1e6:.1f} MB  {name:40.40}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty() and not arguments.json:
        print(file=sys.stderr)
    if arguments.json:
        import json

        print(json.dumps({"arch": inputs.lock.arch, "packages": len(packages), "size_bytes": size}))
    else:
        print(f"{len(packages)} packages for {inputs.lock.arch}, {size / 1e6:.1f} MB, all as the lock says")
    return 0
