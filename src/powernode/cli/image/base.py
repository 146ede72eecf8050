# SPDX-License-Identifier: MIT
"""powernode image base"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option, one_of

COMMAND = Command(
    "image base",
    "DIR",
    "Builds the base system as a module directory, from its folder and the packages of the lock of images. The "
    "same lock and folder give the same digest everywhere. Another architecture than this machine's needs qemu-user.",
    options=(
        Option("--arch", "ARCH", "amd64 or arm64 (default: this machine's)", one_of("amd64", "arm64")),
        Option("--module", "DIR", "the module (default: examples/modules/system-base in the checkout)"),
        Option("--option", "NAME", "an option of the module, such as ssh; may be repeated", repeat=True),
        Option("--lock", "FILE", "the pinned packages (default: initramfs/lock/ARCH.json in the checkout)"),
        Option("--archive", "URL", "a Debian archive or snapshot to download from"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode image base --arch arm64 build/system-base-arm64",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import os
    import sys
    from pathlib import Path

    from powernode.cli.image.options import host_arch
    from powernode.debian import lock
    from powernode.debian.inputs import Inputs, default_cache
    from powernode.image.request import CHECKOUT
    from powernode.module import systembase

    arch = arguments.arch or host_arch()
    locked = lock.parse(Path(arguments.lock or CHECKOUT / lock.path_of(arch)).read_bytes())
    cache = default_cache(os.environ)
    module = systembase.build(
        Path(arguments.module or CHECKOUT / "examples/modules/system-base"),
        locked,
        Inputs(locked, cache, arguments.archive).deb,
        arch=arch,
        directory=Path(arguments.operands[0]),
        cache=cache,
        options=arguments.option,
        report=lambda text: print(f"  {text}", file=sys.stderr, flush=True),
    )
    packages = len(locked.group(systembase.group(arguments.option)))
    if arguments.json:
        import json

        print(json.dumps({"directory": str(module.directory), "digest": str(module.digest), "packages": packages}))
    else:
        print(f"{module.facts.name} {module.facts.version} for {arch}: {module.digest}")
    return 0
