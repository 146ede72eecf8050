# SPDX-License-Identifier: MIT
"""Put the agent and what it needs of this machine's Python into the tree of a dracut image, as .pyc without sources.

Run by module-setup.sh with the interpreter that can import powernode. What is imported is found as for our own images
(powernode.image.runtime), but in the Python that is installed here. What programs and extension modules are linked to
is for dracut to find, which it does for every file that can be executed.

    python3 closure.py INITDIR
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from base64 import b64decode
from pathlib import Path

import powernode
from powernode import native
from powernode.image.runtime import imports, stdlib

ROOTS = ("powernode.cli.agent",)
NOT_ON_THE_NODE = ("powernode.native._cffi_door",)
LIBRARY = "/usr/lib/powernode/libpowernode.so"


def main() -> None:
    tree = Path(sys.argv[1])
    library = native.library()
    if library is None:
        sys.exit(f"the agent needs the C library of powernode: {native.reason()}")
    standard = sysconfig.get_path("stdlib")
    python = os.path.realpath(sys.executable)  # a virtual environment's is a link to it
    found = what_is_imported(python, standard)
    for name, text in found["compiled"].items():
        write(tree, f"{standard}/{name}", b64decode(text))
    for path in (python, *(f"{standard}/lib-dynload/{name}" for name in found["extensions"])):
        write(tree, path, Path(path).read_bytes(), 0o755)
    write(tree, LIBRARY, Path(library.path).read_bytes(), 0o755)
    # Without NO_COLOR a traceback would be coloured, also on a serial line.
    command = f'#!/bin/sh\nNO_COLOR=1 exec {python} -I -S -m powernode.cli.agent "$@"\n'
    write(tree, "/usr/bin/powernode-agent", command.encode(), 0o755)


def what_is_imported(python: str, standard: str) -> dict[str, dict[str, str]]:
    """Compiled files by their path in the standard library, and the names of extension modules."""
    ours = imports.closure(Path(powernode.__file__).parents[1], ROOTS, without=NOT_ON_THE_NODE)
    task = {
        "import": {name: sorted(members) for name, members in ours.others.items()},
        "later": stdlib.LATER,
        "absent": stdlib.ABSENT,
        "amendments": stdlib.AMENDMENTS,
        "own": {name: [str(path.absolute()), path.name == "__init__.py"] for name, path in ours.own.items()},
    }
    script = Path(stdlib.__file__).with_name("trim.py")
    command = [python, "-B", "-s", "-S", "-P", str(script), standard, standard]
    result = subprocess.run(command, input=json.dumps(task), stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        sys.exit("this Python cannot import or compile what the agent needs")
    answer: dict[str, dict[str, str]] = json.loads(result.stdout)
    return answer


def write(tree: Path, name: str, data: bytes, mode: int = 0o644) -> None:
    path = tree / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


if __name__ == "__main__":
    main()
