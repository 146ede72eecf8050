# SPDX-License-Identifier: MIT
"""powernode composefs create"""

from __future__ import annotations

import sys

from powernode.base.errors import OperatorError
from powernode.cli.composefs.shared import VERSIONS, read, versions_of, write_atomically
from powernode.cli.options import Arguments, Command, Option, natural
from powernode.cli.output import Progress, write_bytes

COMMAND = Command(
    "composefs create",
    "SOURCE [IMAGE]",
    "Makes a composefs image of a directory, byte for byte as mkcomposefs does, or of dump text. IMAGE may be "
    "`-` for standard output.",
    options=(
        Option(
            "--digest-store", "DIR", "also put every file's content there, named by its digest, safe against power cuts"
        ),
        Option("--print-digest", None, "print the fs-verity digest of the image"),
        Option("--print-digest-only", None, "print the digest and write no image"),
        Option("--from-file", None, "SOURCE is dump text, `-` for standard input"),
        Option("--use-epoch", None, "make all times zero"),
        Option("--skip-xattrs", None, "leave extended attributes out"),
        Option("--user-xattrs", None, "keep only user.* extended attributes"),
        Option("--skip-devices", None, "leave device nodes out"),
        Option("--hardlinks", None, "keep names of one inode together (mkcomposefs makes them separate files)"),
        *VERSIONS,
        Option("--threads", "N", "threads that read and hash; 0 (default) takes all CPUs", natural, default=0),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode composefs create --print-digest --digest-store=objects rootfs root.cfs\n53cf8…",
    least=1,
    most=2,
)


def run(arguments: Arguments) -> int:
    from powernode.composefs import image as images

    source, *image = arguments.operands
    if bool(image) == arguments.print_digest_only:
        raise OperatorError(
            "cli.operands",
            "there is no place for the image" if not image else "--print-digest-only writes no image",
            expected="SOURCE IMAGE, or --print-digest-only SOURCE",
        )
    if image == ["-"]:
        _check_stdout(arguments)
    versions = versions_of(arguments)
    data = (_from_dump if arguments.from_file else _from_directory)(arguments, source, versions)
    if image == ["-"]:
        write_bytes(data)
    elif image:
        # With a store the image joins what must survive a power cut; without one it is a build product like any other.
        write_atomically(image[0], data, durable=arguments.digest_store is not None)
    if arguments.json:
        import json

        print(
            json.dumps(
                {"digest": images.digest(data).hex, "size_bytes": len(data), "image": image[0] if image else None}
            )
        )
    elif arguments.print_digest or arguments.print_digest_only:
        print(images.digest(data).hex)
    return 0


def _check_stdout(arguments: Arguments) -> None:
    if arguments.print_digest or arguments.json:
        raise OperatorError("cli.operands", "standard output takes the image or the digest, not both")
    if sys.stdout.isatty():
        raise OperatorError("cli.operands", "an image is nothing for a terminal", expected="a file, or a pipe for `-`")


def _from_dump(arguments: Arguments, source: str, versions: tuple[int, int]) -> bytes:
    from powernode.composefs import image as images

    only_directories = ("digest_store", "use_epoch", "skip_xattrs", "user_xattrs", "skip_devices", "hardlinks")
    given = [name for name in only_directories if getattr(arguments, name)]
    if given:
        raise OperatorError("cli.option", f"--{given[0].replace('_', '-')} needs a directory, not --from-file")
    text = read(source, "a dump")
    return images.from_dump(text, min_version=versions[0], max_version=versions[1])


def _from_directory(arguments: Arguments, source: str, versions: tuple[int, int]) -> bytes:
    from powernode.composefs.scan import ScanOptions, image_of

    if arguments.skip_xattrs and arguments.user_xattrs:
        raise OperatorError("cli.option", "--skip-xattrs and --user-xattrs exclude each other")
    options = ScanOptions(
        xattrs="none" if arguments.skip_xattrs else "user" if arguments.user_xattrs else "all",
        devices=not arguments.skip_devices,
        epoch=arguments.use_epoch,
        hardlinks=arguments.hardlinks,
    )
    store = None
    if arguments.digest_store:
        from powernode.composefs.store import ObjectStore
        from powernode.verity import digest_fd

        store = ObjectStore.create(arguments.digest_store, digest_fd=lambda fd: digest_fd(fd).value)
    with Progress("reading") as progress:
        return image_of(
            source,
            options,
            threads=arguments.threads,
            min_version=versions[0],
            max_version=versions[1],
            store=store,
            progress=progress.callback(),
        )
