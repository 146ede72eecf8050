# SPDX-License-Identifier: MIT
"""powernode image lock"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, one_of

COMMAND = Command(
    "image lock",
    "",
    "Pins the Debian packages that images are made from to what the archive has now, by version and SHA-256, and says "
    "what changed. The archive's signature is checked; nothing is installed.",
    options=(
        Option("--arch", "ARCH", "amd64 or arm64", one_of("amd64", "arm64")),
        Option("--archive", "URL", "a Debian archive or snapshot (default: that of this machine's apt sources)"),
        Option("--suite", "SUITE", "the release (default: that of the lock there is, else trixie)"),
        Option("--out", "FILE", "the lock to renew (default: initramfs/lock/ARCH.json)"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode image lock --arch arm64",
    most=0,
)


def run(arguments: Arguments) -> int:
    import os
    from pathlib import Path

    from powernode.base.durable import write_durably
    from powernode.debian import lock as locks
    from powernode.debian.apt import PrivateApt
    from powernode.debian.inputs import default_cache
    from powernode.image.packages import SUITE, resolve

    if not arguments.arch:
        raise OperatorError("cli.option", "which architecture?", expected="--arch=amd64 or --arch=arm64")
    out = Path(arguments.out or locks.path_of(arguments.arch))
    if not out.parent.is_dir():
        raise OperatorError(
            "cli.option",
            f"there is no folder {out.parent} to write the lock into",
            hint="run it at the top of a checkout, or give --out",
        )
    old = locks.parse(out.read_bytes()) if out.is_file() else None
    suite = arguments.suite or (old.suite if old else SUITE)
    private = PrivateApt(suite, arguments.arch, default_cache(os.environ) / "apt", arguments.archive)
    private.update()
    new = resolve(private, suite, arguments.arch)
    data = locks.encode(new)
    locks.parse(data)  # what is written can be read
    write_durably(str(out), data, mode=0o644)
    changed = locks.changes(old, new)
    if arguments.json:
        import json

        listed = [{"name": name, "old": before, "new": after} for name, before, after in changed]
        print(json.dumps({"lock": str(out), "arch": new.arch, "suite": suite, "digest": new.digest, "changed": listed}))
        return 0
    for name, before, after in changed:
        print(f"{name} {before or '(none)'} -> {after or '(none)'}")
    count = sum(map(len, new.groups.values()))
    print(f"{out}: {count} packages in {len(new.groups)} groups, {len(changed) or 'nothing'} changed")
    return 0
