# SPDX-License-Identifier: MIT
"""powernode image base"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option, one_of

COMMAND = Command(
    "image base",
    "DIR",
    "Builds a base system as a module directory, from a recipe and the packages of the lock. The same lock and recipe "
    "give the same digest everywhere. Another architecture than this machine's needs qemu-user.",
    options=(
        Option("--arch", "ARCH", "amd64 or arm64 (default: this machine's)", one_of("amd64", "arm64")),
        Option("--recipe", "DIR", "the recipe (default: examples/modules/system-base in the checkout)"),
        Option("--option", "NAME", "an option of the recipe, such as ssh; may be repeated", repeat=True),
        Option("--lock", "FILE", "the pinned packages (default: initramfs/lock/ARCH.json in the checkout)"),
        Option("--archive", "URL", "a Debian archive or snapshot to download from"),
        Option("--scratch", "DIR", "where to work, about 500 MB (default: /var/tmp)", default="/var/tmp"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode image base --arch arm64 build/system-base-arm64",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import os
    from pathlib import Path

    from powernode.cli.image.options import host_arch
    from powernode.debian import lock
    from powernode.debian.inputs import Inputs, default_cache
    from powernode.image.request import CHECKOUT
    from powernode.module import systembase

    arch = arguments.arch or host_arch()
    recipe = systembase.read_recipe(Path(arguments.recipe or CHECKOUT / "examples/modules/system-base"))
    locked = lock.parse(Path(arguments.lock or CHECKOUT / lock.path_of(arch)).read_bytes())
    inputs = Inputs(locked, default_cache(os.environ), arguments.archive)
    group = systembase.group(recipe, arguments.option)
    debs = [inputs.deb(package.name) for package in locked.group(group)]
    module = systembase.build(
        recipe,
        debs,
        arch=arch,
        directory=Path(arguments.operands[0]),
        scratch=Path(arguments.scratch),
        options=arguments.option,
    )
    if arguments.json:
        import json

        print(json.dumps({"directory": str(module.directory), "digest": str(module.digest), "packages": len(debs)}))
    else:
        print(f"{module.facts.name} {module.facts.version} for {arch}: {module.digest}")
    return 0
