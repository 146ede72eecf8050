# SPDX-License-Identifier: MIT
"""Which libraries a program needs, read from the files: works for any architecture, runs nothing.

Invariants: the closure is complete or it is refused, naming who needs what; a file for another architecture is refused.
Libraries are found where Debian's loader looks without a cache: the architecture's library folders. RPATH and
hwcaps variants are not followed; nothing in an initramfs needs them.

Out of scope: libraries opened at run time by name (dlopen): they are named like programs.

    closure(trees, {"usr/bin/python3.13": trees.read("usr/bin/python3.13")}, "amd64")
    # {"usr/bin/python3.13": b"…", "usr/lib64/ld-linux-x86-64.so.2": b"…", "usr/lib/x86_64-linux-gnu/libc.so.6": …}
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from powernode.base.errors import DataError
from powernode.image.trees import Trees

__all__ = ["MACHINES", "TRIPLETS", "Needs", "closure", "needs", "section"]

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
MACHINES = {"amd64": "EM_X86_64", "arm64": "EM_AARCH64"}
_MAX_NEEDED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """`machine` as in <elf.h>; `interpreter` is the path of the loader, None for libraries and static programs."""

    machine: str
    interpreter: str | None
    libraries: tuple[str, ...]


def needs(data: bytes, name: str) -> Needs:
    """`name` is for the refusal."""
    try:
        elf = ELFFile(io.BytesIO(data))
        interpreter = None
        libraries: list[str] = []
        for segment in elf.iter_segments():
            if isinstance(segment, InterpSegment):
                interpreter = str(segment.get_interp_name())
            elif isinstance(segment, DynamicSegment):
                libraries += [str(tag.needed) for tag in segment.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]
        machine = str(elf["e_machine"])
    except Exception as error:  # pyelftools answers damaged files with whatever its parsers run into
        raise _broken(name, error) from error
    if len(libraries) > _MAX_NEEDED:
        raise DataError("image.elf.broken", f"{name} claims to need {len(libraries)} libraries")
    return Needs(machine=machine, interpreter=interpreter, libraries=tuple(libraries))


def section(data: bytes, section_name: str, name: str) -> bytes:
    """The bytes of a section, empty if there is none."""
    try:
        found = ELFFile(io.BytesIO(data)).get_section_by_name(section_name)
        return b"" if found is None else bytes(found.data())
    except Exception as error:  # see above
        raise _broken(name, error) from error


def closure(trees: Trees, programs: Mapping[str, bytes], arch: str) -> dict[str, bytes]:
    """The programs, by the path to put them at, and everything they need to start."""
    folders = (f"usr/lib/{TRIPLETS[arch]}", f"lib/{TRIPLETS[arch]}", "usr/lib", "lib")
    found: dict[str, bytes] = {}
    loaders: set[str] = set()
    waiting = sorted(programs.items(), reverse=True)
    while waiting:
        path, data = waiting.pop()
        if path in found:
            continue
        wanted = needs(data, path)
        if wanted.machine != MACHINES[arch]:
            raise DataError(
                "image.elf.architecture",
                f"{path} is for another architecture",
                expected=f"{MACHINES[arch]} ({arch})",
                found=wanted.machine,
            )
        found[path] = data
        if wanted.interpreter is not None:
            loader = f"usr/{wanted.interpreter.strip('/').removeprefix('usr/')}"  # /lib64 is a link to /usr/lib64
            loaders.add(loader.rpartition("/")[2])
            waiting.append((loader, trees.read(loader)))
        for library in wanted.libraries:
            if library in loaders or any(f"{folder}/{library}" in found for folder in folders):
                continue
            waiting.append(_find(trees, folders, library, path))
    return found


def _find(trees: Trees, folders: tuple[str, ...], library: str, needed_by: str) -> tuple[str, bytes]:
    if "/" not in library:
        for folder in folders:
            if (data := trees.find(f"{folder}/{library}")) is not None:
                return f"usr/{folder.removeprefix('usr/')}/{library}", data
    raise DataError(
        "image.elf.missing",
        f"{needed_by} needs {library}, and no package has it",
        expected=f"{library} in one of {', '.join(folders)}",
        hint="add the package that ships it to the lock's group",
    )


def _broken(name: str, error: Exception) -> DataError:
    return DataError("image.elf.broken", f"{name} is not a readable ELF file", found=str(error) or type(error).__name__)
