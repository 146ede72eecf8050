# SPDX-License-Identifier: MIT
"""libpowernode.so for a node: the C sources without anything of Python's, cross-compiled where necessary.

Invariants: equal sources and an equal compiler give equal bytes, wherever the checkout and the cache are; a build is
kept in the cache under the digest of all that went into it. The flags are those of the build with cffi (a test compares
them with csrc/ffi/build.py), so the library that was tested is the one that runs.

Out of scope: the build for hosts (setup.py).

    built = build(Path("csrc"), "arm64", Path(".cache"))
    built.data, built.compiler          # b"\\x7fELF…", "aarch64-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0"
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from powernode.base.errors import MachineError, OperatorError
from powernode.image.elf import TRIPLETS
from powernode.module.place import beside

__all__ = ["COMPILE_FLAGS", "LINK_FLAGS", "PATH", "Built", "build"]

PATH = "usr/lib/powernode/libpowernode.so"
COMPILE_FLAGS = (
    *("-std=gnu11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-O3", "-fno-schedule-insns2", "-g0"),
    *("-Wall", "-Wextra", "-Wvla", "-Werror=implicit-function-declaration"),
)
LINK_FLAGS = ("-pthread", "-Wl,--as-needed", "-Wl,-O1")
_FOR_A_NODE = ("-shared", "-Wl,-s", "-Wl,--build-id=none", "-Wl,--no-undefined", "-Wl,-soname,libpowernode.so")
_NOT_THE_LIBRARY = ("ffi", "fuzz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The library and who compiled it, for the build manifest."""

    data: bytes
    compiler: str


def build(csrc: Path, arch: str, cache: Path) -> Built:
    compiler = _compiler(arch)
    version = _run([compiler, "--version"], csrc).splitlines()[0]
    sources = _sources(csrc, "*.c")
    total = hashlib.sha256(repr((version, arch, COMPILE_FLAGS, LINK_FLAGS, _FOR_A_NODE)).encode())
    for name in sources + _sources(csrc, "*.h"):
        content = (csrc / name).read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    place = cache / "native" / f"{total.hexdigest()}.so"
    if not place.exists():
        with beside(place) as work:
            _link(compiler, csrc, sources, work).rename(place)
    return Built(data=place.read_bytes(), compiler=version)


def _sources(csrc: Path, pattern: str) -> list[str]:
    found = [path.relative_to(csrc) for path in csrc.rglob(pattern)]
    names = sorted(path.as_posix() for path in found if path.parts[0] not in _NOT_THE_LIBRARY)
    if not names:
        raise OperatorError(
            "image.library.sources", f"{csrc} holds no {pattern}", expected="the checkout's csrc folder"
        )
    return names


def _compiler(arch: str) -> str:
    """The one that is named after what it makes, here or across."""
    name = f"{TRIPLETS[arch]}-gcc"
    if shutil.which(name) is None:
        raise MachineError(
            "image.library.compiler",
            f"there is no C compiler for {arch} here",
            expected=name,
            hint=f"apt-get install gcc-{TRIPLETS[arch].replace('_', '-')} libc6-dev-{arch}-cross",
        )
    return name


def _link(compiler: str, csrc: Path, sources: Sequence[str], folder: Path) -> Path:
    flags = [*COMPILE_FLAGS, "-fPIC", "-pthread", "-Iinclude", "-I.", f"-ffile-prefix-map={csrc.absolute()}=csrc"]

    def compile_one(numbered: tuple[int, str]) -> str:
        number, source = numbered
        made = str(folder / f"{number:03}.o")
        _run([compiler, *flags, "-c", source, "-o", made], csrc)
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, enumerate(sources)))
    library = folder / "libpowernode.so"
    _run([compiler, *_FOR_A_NODE, *objects, *LINK_FLAGS, "-o", str(library)], csrc)
    return library


def _run(command: Sequence[str], folder: Path) -> str:
    environment = {**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise MachineError(
            "image.library.compile", f"{command[0]} failed", found=result.stderr.strip()[-600:], hint=" ".join(command)
        )
    return result.stdout
