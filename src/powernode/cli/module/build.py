# SPDX-License-Identifier: MIT
"""powernode module build"""

from __future__ import annotations

import sys

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, natural

COMMAND = Command(
    "module build",
    "[DIR]",
    "Builds a module from its folder: installs the packages of its lock, lays rootfs/ on top, takes what file_spec "
    "includes, and writes an OCI layout with SBOM and provenance. The same folder, lock and version give the same "
    "digests everywhere. Another architecture than this machine's needs qemu-user.",
    options=(
        Option("--arch", "ARCH,…", "amd64, arm64 or both (default: this machine's)"),
        Option("--version", "V", "the version, such as 0.1.0 (default: that of the git tag that is checked out)"),
        Option("--out", "DIR", "where to put it (default: build/ in the module's folder)"),
        Option("--option", "NAME", "an option of build.options; may be repeated", repeat=True),
        Option("--containerfile", None, "make the tree with the Containerfile, by podman or buildah"),
        Option("--archive", "URL", "a Debian archive or snapshot (default: that of this machine's apt sources)"),
        Option("--advisories", "DIR", "known vulnerabilities, for a VEX document; nothing is fetched"),
        Option("--builder", "URI", "who builds, for provenance and VEX", default="urn:powernode:builder:local"),
        Option("--jobs", "N", "threads to use (default: all CPUs)", natural, default=0),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module build my-redis-module --arch amd64,arm64 --version 0.1.0",
    most=1,
)


def run(arguments: Arguments) -> int:
    import json
    import os
    from pathlib import Path

    from powernode.cli.module.lock import resolve
    from powernode.debian.inputs import Inputs, default_cache
    from powernode.module import version
    from powernode.module.build import Request, Sources, build
    from powernode.module.source import read_source

    folder = Path(arguments.operands[0] if arguments.operands else ".")
    manifest = read_source(folder).manifest
    cache = default_cache(os.environ)
    arches = _arches(arguments.arch)
    packages = [*manifest.package_spec]
    packages += [name for each in manifest.build.options if each.name in arguments.option for name in each.packages]
    needs_locks = bool(packages) and not arguments.containerfile
    request = Request(
        folder=folder,
        version=version.choose(arguments.version, folder, arches=arches if needs_locks else ()),
        arches=arches,
        options=tuple(dict.fromkeys(arguments.option)),
        containerfile=arguments.containerfile,
        jobs=arguments.jobs or len(os.sched_getaffinity(0)),
        builder=arguments.builder,
        advisories=Path(arguments.advisories) if arguments.advisories else None,
    )
    sources = Sources(
        cache=cache,
        obtain=lambda _, arch: resolve(manifest, arch, cache, arguments.archive),
        inputs=lambda lock: Inputs(lock, cache, arguments.archive, renew=f"powernode module lock {folder}"),
    )
    if manifest.build.ubuntu_digest and not arguments.containerfile:
        _tell("build.ubuntu_digest is for the Containerfile and is not looked at: the packages are Debian's")
    outcome = build(request, sources, Path(arguments.out) if arguments.out else folder / "build", report=_tell)
    document = outcome.as_dict()
    if arguments.json:
        print(json.dumps({"out": str(outcome.out), **document}))
        return 0
    print(f"{outcome.name} {outcome.version}: {outcome.out}")
    for made in outcome.made:
        built = made.built
        print(f"  {built.arch}  manifest {outcome.published.manifests[built.arch].digest}")
        print(f"  {'':5}  composefs {built.composed.module.digest}, layer {built.written.size / 1e6:.1f} MB")
    print(f"  index  {outcome.published.index.digest}")
    return 0


def _tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _arches(text: str | None) -> tuple[str, ...]:
    from powernode.cli.image.options import host_arch
    from powernode.debian.lock import ARCHITECTURES

    wanted = tuple(dict.fromkeys(text.split(","))) if text else (host_arch(),)
    if not set(wanted) <= set(ARCHITECTURES):
        raise OperatorError(
            "cli.option", f"--arch cannot be {text!r}", expected=f"{' or '.join(ARCHITECTURES)}, or both with a comma"
        )
    return wanted
