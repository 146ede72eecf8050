# SPDX-License-Identifier: MIT
"""Two builds of one plan, compared: the first byte that differs, which file it belongs to, and where that came from.

for difference in compare(Path("images/…/amd64"), rebuilt): print(difference.describe())
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from powernode.archive import cpio
from powernode.base.errors import DataError
from powernode.image.manifest import MANIFEST, SUMS
from powernode.image.pack import unpack
from powernode.image.steps.initramfs import INITRAMFS
from powernode.image.steps.kernel import CMDLINE, KERNEL
from powernode.image.steps.persist import PERSIST

__all__ = ["Difference", "compare"]

_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`inside` is a file within the artifact; `origin` says which input it came from."""

    artifact: str
    offset: int
    inside: str | None
    origin: str

    def describe(self) -> str:
        inside = f", in {self.inside}" if self.inside else ""
        return f"{self.artifact} differs from byte {self.offset} on{inside}; it comes from {self.origin}"


def compare(old: Path, new: Path) -> Iterator[Difference]:
    """What differs, an artifact each; the manifest and the sums only if nothing else does."""
    names = {path.name for folder in (old, new) for path in folder.iterdir()}
    found = False
    for name in sorted(names, key=lambda name: (name in (MANIFEST, SUMS), name)):
        if name in (MANIFEST, SUMS) and found:
            continue  # they repeat it
        offset = _first_difference(old / name, new / name)
        if offset is not None:
            found = True
            inside, origin = _explain(name, offset, old, new)
            yield Difference(artifact=name, offset=offset, inside=inside, origin=origin)


def _first_difference(old: Path, new: Path) -> int | None:
    if not (old.is_file() and new.is_file()):
        return 0
    position = 0
    with open(old, "rb") as first, open(new, "rb") as second:
        while True:
            one, two = first.read(_CHUNK_BYTES), second.read(_CHUNK_BYTES)
            if one != two:
                return position + next(index for index, (a, b) in enumerate(zip_longest(one, two)) if a != b)
            if not one:
                return None
            position += len(one)


def _explain(name: str, offset: int, old: Path, new: Path) -> tuple[str | None, str]:
    if not (old / name).is_file() or not (new / name).is_file():
        return None, "only one of the two builds"
    manifest = json.loads((new / MANIFEST).read_text())
    if name == KERNEL or name.endswith(".dtb"):
        return None, _package(manifest, "linux-image-")
    if name == CMDLINE:
        return None, f"board/{manifest['plan']['board']}/board.toml"
    if name == INITRAMFS:
        return _explain_initramfs((old / name).read_bytes(), (new / name).read_bytes(), manifest)
    if name == PERSIST:
        return _file_in_ext4(new / name, offset), f"the modules {', '.join(manifest['root']['modules'])}"
    if name == MANIFEST:
        return None, "the plan, the tools or the inputs it lists"
    return None, "a step of the plan"


def _explain_initramfs(old: bytes, new: bytes, manifest: dict[str, object]) -> tuple[str | None, str]:
    try:
        before = {entry.path: entry for entry in unpack(old)}
    except DataError as error:
        return None, f"the old file itself, which is damaged: {error.message}"
    after = {entry.path: entry for entry in unpack(new)}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            return path, _origin_of(path, before.get(path), manifest)
    return None, f"the compression: zstd {manifest['tools']['zstd']}"  # type: ignore[index]


def _origin_of(path: str, entry: cpio.Entry | None, manifest: dict[str, object]) -> str:
    if path.endswith(".ko"):
        return _package(manifest, "linux-image-")
    if path.startswith("usr/lib/powernode/"):
        return f"csrc/, compiled by {manifest['tools']['gcc']}"  # type: ignore[index]
    if "/powernode/" in path and path.endswith(".pyc"):
        return f"src/{path.partition('/python3.13/')[2].removesuffix('c')}"
    if path.startswith("usr/lib/python3"):
        return _package(manifest, "libpython3")
    if path == "init":
        return "initramfs/init"
    if path.startswith("etc/powernode/"):
        return "the configuration"
    return "one of the packages of the lock" if entry else "nothing the old build had"


def _package(manifest: dict[str, object], prefix: str) -> str:
    for item in manifest["inputs"]:  # type: ignore[attr-defined]
        if item["name"].startswith(prefix):
            return f"{item['name']} {item['version']}"
    return f"no input called {prefix}…"


def _file_in_ext4(image: Path, offset: int) -> str | None:
    """The file that has the block, as e2fsprogs sees it; None for what belongs to no file."""

    def ask(question: str) -> str:
        command = ["debugfs", "-R", question, str(image)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    block = re.search(r"^\d+\s+(\d+)$", ask(f"icheck {offset // _BLOCK_BYTES}"), re.M)
    name = block and re.search(r"^\d+\s+(\S+)$", ask(f"ncheck {block[1]}"), re.M)
    return name[1] if name else None
