# SPDX-License-Identifier: MIT
"""powernode module lock"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from powernode.debian.lock import Lock
    from powernode.manifest.model import ModuleManifest
    from powernode.module.lock import Request

COMMAND = Command(
    "module lock",
    "[DIR]",
    "Pins the Debian packages that a module is built from to what the archive has now, by version and SHA-256, and "
    "says what changed. The archive's signature is checked; nothing is installed. `module build` does it where there "
    "is no lock yet.",
    options=(
        Option("--arch", "ARCH", "amd64 or arm64 (default: both)", one_of("amd64", "arm64")),
        Option("--archive", "URL", "a Debian archive or snapshot (default: that of this machine's apt sources)"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module lock my-redis-module --arch arm64",
    most=1,
)


def run(arguments: Arguments) -> int:
    import os
    from pathlib import Path

    from powernode.debian import lock as locks
    from powernode.debian.inputs import default_cache
    from powernode.module import lock
    from powernode.module.source import read_source

    folder = Path(arguments.operands[0] if arguments.operands else ".")
    manifest = read_source(folder).manifest
    cache = default_cache(os.environ)
    listed = []
    for arch in [arguments.arch] if arguments.arch else locks.ARCHITECTURES:
        path = lock.path_of(folder, arch)
        old = _old(path)
        new = resolve(manifest, arch, cache, arguments.archive)
        lock.write(folder, new)
        changed = locks.changes(old, new)
        names = sorted(lock.added(new))
        listed.append(
            {
                "lock": str(path),
                "arch": arch,
                "suite": new.suite,
                "digest": new.digest,
                "added": names,
                "changed": [{"name": name, "old": before, "new": after} for name, before, after in changed],
            }
        )
        if not arguments.json:
            for name, before, after in changed if old else ():
                print(f"{name} {before or '(none)'} -> {after or '(none)'}")
            print(f"{path}: {len(names)} packages on top of the base system: {', '.join(names) or 'none'}")
    if arguments.json:
        import json

        print(json.dumps({"locks": listed}))
    return 0


def _old(path: Path) -> Lock | None:
    """The lock to compare with; one that cannot be read, after a merge in git say, is replaced like one that is old."""
    from powernode.base.errors import DataError
    from powernode.debian import lock as locks
    from powernode.module.lock import content

    try:
        return locks.parse(content(path))
    except (FileNotFoundError, DataError):
        return None


def resolve(manifest: ModuleManifest, arch: str, cache: Path, archive: str | None) -> Lock:
    """The module's lock as the archive is now."""
    from powernode.base.errors import OperatorError
    from powernode.debian.apt import PrivateApt
    from powernode.module import known, lock

    request = lock.Request.of(manifest)
    chosen = lock.archive_for(manifest.build.apt_snapshot, archive)
    private = PrivateApt(request.suite, arch, cache / "apt", chosen, components=lock.COMPONENTS)
    private.update()
    try:
        return lock.resolve(private, request, arch)
    except OperatorError as error:
        if error.code == "module.lock.unresolved":
            error.hint = _meant(request, known.of_archive(private, "").names) or error.hint
        raise


def _meant(request: Request, names: frozenset[str]) -> str:
    """What may have been meant by the names that the archive does not know."""
    from powernode.module.suggest import near

    wanted = {name for group in request.by_group().values() for name in group}
    close = {name: near(name, [other for other in names if other[:2] == name[:2]]) for name in sorted(wanted - names)}
    return "; ".join(f"did you mean {other} by {name}?" for name, other in close.items() if other is not None)
