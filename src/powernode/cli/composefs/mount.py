# SPDX-License-Identifier: MIT
"""powernode composefs mount"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, hex_bytes, one_of

COMMAND = Command(
    "composefs mount",
    "IMAGE TARGET",
    "Mounts an image over its objects (root only). With --verity=require the kernel refuses any file whose content "
    "is not what the image says; what was reached is printed.",
    options=(
        Option("--basedir", "DIR", "the object store; may be repeated", repeat=True),
        Option("--digest", "HEX", "refuse any other image than the one with this fs-verity digest", hex_bytes),
        Option("--verity", "MODE", "require (default), try or off", one_of("require", "try", "off"), default="require"),
        Option("--upperdir", "DIR", "a writable upper layer, together with --workdir"),
        Option("--workdir", "DIR", "the upper layer's work directory, on the same filesystem"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode composefs mount --basedir=objects --digest=53cf8… root.cfs /mnt\nkernel-verity sha256:53cf8… "
    "by file",
    least=2,
    most=2,
)


def run(arguments: Arguments) -> int:
    from pathlib import Path

    from powernode import verity
    from powernode.composefs.mount import mount_image

    if not arguments.basedir:
        raise OperatorError("cli.option", "where are the objects?", expected="--basedir=DIR")
    image, target = arguments.operands
    report = mount_image(
        Path(image),
        [Path(path) for path in arguments.basedir],
        Path(target),
        digest=arguments.digest,
        upperdir=Path(arguments.upperdir) if arguments.upperdir else None,
        workdir=Path(arguments.workdir) if arguments.workdir else None,
        verity=arguments.verity,
        digest_fd=lambda fd: verity.digest_fd(fd).value,
    )
    digest = report.digest.hex() if report.digest else None
    if arguments.json:
        import json

        print(json.dumps({"enforcement": report.enforcement.value, "digest": digest, "backing": report.backing}))
    else:
        print(f"{report.enforcement.value} {f'sha256:{digest}' if digest else 'not measured'} by {report.backing}")
    return 0
