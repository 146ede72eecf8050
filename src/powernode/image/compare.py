# SPDX-License-Identifier: MIT
"""Two builds of one plan, compared: the first byte that differs, which file it belongs to, and where that came from.

Invariants: `new` is ours and believed; `old` may be anybody's: whatever is in it ends in an answer or a DataError.

    for difference in compare(Path("images/…/amd64"), rebuilt, Origins(board="qemu")): print(difference.describe())
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from powernode.base.errors import DataError
from powernode.composefs import image as images
from powernode.image import library
from powernode.image.manifest import MANIFEST, SUMS
from powernode.image.pack import unpack
from powernode.image.steps.initramfs import INITRAMFS
from powernode.image.steps.kernel import CMDLINE, KERNEL
from powernode.image.steps.persist import PERSIST
from powernode.module.directory import Module

__all__ = ["Difference", "Origins", "compare"]

_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 4096
_TOOLS = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C"}
_OUR_CODE = re.compile(r"usr/lib/python[0-9.]+/(powernode/.+\.py)c")
_PACKED = ("", ".xz", ".zst", ".gz")
_OURS = {
    "init": "initramfs/init",
    "etc/powernode/modules": "initramfs/kernel-modules",
    "etc/powernode/config.json": "the configuration",
    "etc/powernode/fleet-root.pem": "the file for --fleet-root",
    "etc/powernode/base.set": "the modules",
    library.PATH: "csrc",
}
_SKELETON = "src/powernode/image/initramfs.py"
_NOBODY = "no input: only that build has it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`inside` is a file within the artifact; `origin` says which input it came from."""

    artifact: str
    offset: int
    inside: str | None
    origin: str

    def describe(self) -> str:
        inside = f", in {self.inside.encode('unicode_escape').decode()}" if self.inside else ""
        return f"{self.artifact} differs from byte {self.offset} on{inside}; it comes from {self.origin}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Who gave what: unpacked packages by name and version, modules, a board."""

    board: str
    packages: Mapping[str, Path] = field(default_factory=dict)
    modules: Sequence[Module] = ()

    def of_kernel(self) -> str:
        return next((name for name in self.packages if name.startswith("linux-image-")), "no package of the lock")

    def of_file(self, path: str) -> str | None:
        """Of what is in the initramfs; None if nothing here has it."""
        if path in _OURS:
            return _OURS[path]
        if ours := _OUR_CODE.fullmatch(path):
            return f"src/{ours[1]}"
        if path.endswith("/modules.dep"):
            return _OURS["etc/powernode/modules"]
        if path.endswith("/ca-certificates.crt"):
            path = "usr/share/ca-certificates"
        names = [path + suffix for suffix in _PACKED] + ([path[:-1]] if path.endswith(".pyc") else [])
        found = (package for name in names for package, tree in self.packages.items() if os.path.lexists(tree / name))
        return next(found, None)

    def of_object(self, path: str) -> str:
        """Of what is on the disk for objects and images."""
        folder, _, name = path.partition("/powernode/")[2].partition("/")
        for module in self.modules:
            own = f"{module.digest.hex}.erofs" == name
            if own or (folder == "objects" and name.encode() in images.objects(module.image.read_bytes())):
                return f"module {module.facts.name} {module.facts.version}"
        return f"the root that {', '.join(module.facts.name for module in self.modules)} make"


def compare(old: Path, new: Path, origins: Origins) -> Iterator[Difference]:
    """What differs, an artifact each; the manifest and the sums only if nothing else does."""
    names = {path.name for folder in (old, new) for path in folder.iterdir()}
    found = False
    last = (MANIFEST, SUMS)  # they repeat what the others say
    for name in (*sorted(names.difference(last)), *last):
        if name in last and found:
            continue
        if not _is_file(new / name):
            found = True
            yield Difference(artifact=name, offset=0, inside=None, origin=_NOBODY)
        elif not _is_file(old / name):
            found = True
            yield Difference(artifact=name, offset=0, inside=None, origin="the new build: the old one has no such file")
        elif (offset := _first_difference(old / name, new / name)) is not None:
            found = True
            inside, origin = _explain(name, offset, old, new, origins)
            yield Difference(artifact=name, offset=offset, inside=inside, origin=origin)


def _is_file(path: Path) -> bool:
    return os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode)


def _first_difference(old: Path, new: Path) -> int | None:
    position = 0
    with open(old, "rb") as first, open(new, "rb") as second:
        while True:
            one, two = first.read(_CHUNK_BYTES), second.read(_CHUNK_BYTES)
            if one != two:
                return position + next(index for index, (a, b) in enumerate(zip_longest(one, two)) if a != b)
            if not one:
                return None
            position += len(one)


def _explain(name: str, offset: int, old: Path, new: Path, origins: Origins) -> tuple[str | None, str]:
    if name == INITRAMFS:
        return _explain_initramfs((old / name).read_bytes(), (new / name).read_bytes(), origins)
    if name == PERSIST:
        inside = _file_in_ext4(new / name, offset)
        return inside, origins.of_object(inside) if inside else "the filesystem around its files, which e2fsprogs makes"
    if name == KERNEL or name.endswith(".dtb"):
        return None, origins.of_kernel()
    if name == CMDLINE:
        return None, f"board/{origins.board}/board.toml"
    if name == MANIFEST:
        return None, "the plan, the tools or the inputs it lists"
    return None, "a step of the plan"


def _explain_initramfs(old: bytes, new: bytes, origins: Origins) -> tuple[str | None, str]:
    try:
        before = {entry.path: entry for entry in unpack(old)}
    except DataError as error:
        return None, f"nothing we know, for it cannot be unpacked: {error.message}"
    after = {entry.path: entry for entry in unpack(new)}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            return path, origins.of_file(path) or (_SKELETON if path in after else _NOBODY)
    return None, "the order or the compression of files that are the same"


def _file_in_ext4(image: Path, offset: int) -> str | None:
    """The file that has the block, as e2fsprogs sees it; None for what belongs to no file."""

    def ask(question: str) -> str:
        command = ["debugfs", "-R", question, str(image.absolute())]
        return subprocess.run(command, env=_TOOLS, capture_output=True, text=True, check=False).stdout

    block = re.search(r"^\d+\s+(\d+)$", ask(f"icheck {offset // _BLOCK_BYTES}"), re.M)
    name = block and re.search(r"^\d+\s+(\S+)$", ask(f"ncheck {block[1]}"), re.M)
    return name[1] if name else None
