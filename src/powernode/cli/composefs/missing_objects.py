# SPDX-License-Identifier: MIT
"""powernode composefs missing-objects"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.composefs.shared import read
from powernode.cli.options import Arguments, Command, Option
from powernode.cli.output import write_bytes

COMMAND = Command(
    "composefs missing-objects",
    "IMAGE…",
    "Lists the objects images need that a store does not have.",
    options=(Option("--basedir", "DIR", "the object store"),),
    example="powernode composefs missing-objects --basedir=objects root.cfs",
    least=1,
)


def run(arguments: Arguments) -> int:
    import os

    from powernode.composefs import image as images
    from powernode.composefs._object_errors import on_this_machine
    from powernode.composefs.store import ObjectStore, object_path

    if not arguments.basedir:
        raise OperatorError("cli.option", "which store?", expected="--basedir=DIR")
    with on_this_machine("read the object store", arguments.basedir):
        os.stat(f"{arguments.basedir}/.")  # a store that is not there lacks everything, but is more likely a mistake
    needed = {name for path in arguments.operands for name in images.objects(read(path, "an image"))}
    missing = sorted(ObjectStore(arguments.basedir).missing(needed))
    write_bytes(b"".join(object_path(digest).encode() + b"\n" for digest in missing))
    return 0
