# SPDX-License-Identifier: MIT
"""Debian's python3.13 with what our code can import and nothing else, for any architecture.

What is imported is found by importing, and compiled by compiling, with the build machine's own python3.13 from its own
lock: run through its own loader from the unpacked packages, so nothing needs to be installed, entered or emulated. The
result is a folder of .pyc files without sources, which starts a fifth faster than the same files in a zip.

Invariants: both architectures have the same version of Python; nothing depends on where the files lie; the interpreter
starts as `python3.13 -I -S -m …` without a warning.

Out of scope: the libraries of the binaries (image.elf).

    built = build(target, host, arch="amd64", host_arch="amd64", source=Path("src"), roots=["powernode.cli.agent"])
    built.own["usr/lib/python3.13/powernode/__init__.pyc"], built.python["usr/bin/python3.13"]
"""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from powernode.base.errors import InternalError, MachineError, OperatorError
from powernode.image import elf
from powernode.image.runtime import imports, stdlib
from powernode.image.trees import Trees

__all__ = ["PACKAGES", "PROGRAM", "Interpreter", "build"]

PACKAGES = (
    *("python3.13-minimal", "libpython3.13-minimal", "libpython3.13-stdlib"),
    *("libc6", "libssl3t64", "zlib1g", "libexpat1", "libffi8", "libzstd1"),
)
"""Where the files come from, of both architectures."""

PROGRAM = "usr/bin/python3.13"
_LIBRARY = "usr/lib/python3.13"
_DYNLOAD = f"{_LIBRARY}/lib-dynload"
_SCRIPT = Path(__file__).with_name("trim.py")
_NOT_ON_THE_NODE = ("powernode.native._cffi_door",)  # the node has no cffi; its door is ctypes
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """Files by path. `amended` names the modules of stdlib.AMENDMENTS whose text matched."""

    python: dict[str, bytes]
    own: dict[str, bytes]
    amended: tuple[str, ...]


def build(target: Trees, host: Trees, *, arch: str, host_arch: str, source: Path, roots: Iterable[str]) -> Interpreter:
    """`target` and `host` are the unpacked PACKAGES of the two architectures, `source` is the folder of our package."""
    ours = imports.closure(source, roots, without=_NOT_ON_THE_NODE)
    task = {
        "import": {name: sorted(members) for name, members in ours.others.items()},
        "later": stdlib.LATER,
        "absent": stdlib.ABSENT,
        "amendments": stdlib.AMENDMENTS,
        "own": {name: [str(path.absolute()), path.name == "__init__.py"] for name, path in ours.own.items()},
    }
    answer = _run(target, host, host_arch, task)
    compiled = {path: b64decode(text) for path, text in answer["compiled"].items()}
    if target.roots != host.roots:
        _same_version(target, host, [path for path in compiled if not path.startswith("powernode/")])
    python = {PROGRAM: target.read(PROGRAM)}
    own: dict[str, bytes] = {}
    for path, data in compiled.items():
        (own if path.startswith("powernode/") else python)[f"{_LIBRARY}/{path}"] = data
    for name in answer["extensions"]:
        path = f"{_DYNLOAD}/{name.replace(elf.TRIPLETS[host_arch], elf.TRIPLETS[arch])}"
        python[path] = target.read(path)
    return Interpreter(python=python, own=own, amended=tuple(answer["amended"]))


def _same_version(target: Trees, host: Trees, compiled: Iterable[str]) -> None:
    """Packages of one version have the same text on every architecture."""
    for path in compiled:
        if target.find(f"{_LIBRARY}/{path[:-1]}") != host.find(f"{_LIBRARY}/{path[:-1]}"):
            raise OperatorError(
                "image.python.versions",
                "the image's Python and the build machine's differ in version",
                expected="the same version in both architectures' locks",
                found=f"two versions of {path[:-1]}",
                hint="renew both locks: powernode image lock",
            )


def _run(target: Trees, host: Trees, arch: str, task: dict[str, object]) -> dict[str, Any]:
    binary = _having(host, PROGRAM) / PROGRAM
    loader = elf.needs(binary.read_bytes(), PROGRAM).interpreter or ""
    libraries = f"usr/lib/{elf.TRIPLETS[arch]}"
    command = [str(_having(host, f"{libraries}/{os.path.basename(loader)}") / libraries / os.path.basename(loader))]
    command += ["--library-path", ":".join(str(root / libraries) for root in host.roots), str(binary)]
    # -B -s -S -P: nothing is written, and nothing but the packages is seen
    command += ["-B", "-s", "-S", "-P", str(_SCRIPT), *(":".join(_libraries(trees)) for trees in (target, host))]
    home = _having(host, f"{_LIBRARY}/os.py") / "usr"
    environment = {"PYTHONHOME": str(home.absolute()), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    question = json.dumps(task)
    try:
        result = subprocess.run(
            command, input=question, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError("image.python.run", f"this machine cannot run {arch}'s Python", found=str(error)) from error
    if result.returncode:
        raise InternalError(
            "image.python.run",
            "the image's Python cannot import or compile what it should",
            found=result.stderr.strip()[-600:],
        )
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def _having(trees: Trees, path: str) -> Path:
    """The package that has a file."""
    for root in trees.roots:
        if os.path.lexists(root / path):
            return root
    raise OperatorError("image.python.packages", f"no package has {path}", expected=f"one of {', '.join(PACKAGES)}")


def _libraries(trees: Trees) -> list[str]:
    return [str((root / _LIBRARY).absolute()) for root in trees.roots if (root / _LIBRARY).is_dir()]
