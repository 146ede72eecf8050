# SPDX-License-Identifier: MIT
"""A kernel package: the image, its configuration, and its modules with what they depend on, in load order.

Invariants: a module that was asked for is in the kernel, in the list, or refused by name; the order is one in which
every module comes after what its `.modinfo` names (`depends`, `softdep pre:`), and depends on nothing else than the
question. Modules come out uncompressed: the archive's own compression sees across them and does better.

Lists of modules are text: a name per line, `#` begins a comment, a `?` behind the name means "if this kernel has it".

Out of scope: which modules a board needs (initramfs/kernel-modules), the configuration's meaning (image.kconfig).

    kernel = open_kernel(inputs.tree("linux-image-…"))
    for module in load_order(kernel, parse_list(text, "amd64.list")): module.name, module.path, module.data
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from powernode.archive.ar import Readable
from powernode.archive.decompress import open_stream
from powernode.base.errors import DataError, OperatorError
from powernode.image.elf import section

__all__ = ["Kernel", "Module", "Wanted", "load_order", "open_kernel", "parse_list"]

_MAX_MODULE_BYTES = 256 << 20
_MAX_CHAIN = 100
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_MODULE_FILE = re.compile(r"(?P<name>[^/]+)\.ko(?:\.(?P<method>xz|zst|gz))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """`name` is the kernel's (with underscores), `path` where it is installed, always ending in `.ko`."""

    name: str
    path: str
    data: bytes


class Kernel:
    def __init__(self, tree: Path, release: str) -> None:
        self.release = release
        self.image = tree / f"boot/vmlinuz-{release}"
        self.config = tree / f"boot/config-{release}"
        self._tree = tree
        modules = tree / f"usr/lib/modules/{release}"
        self._files = {
            _canonical(path.name.partition(".ko")[0]): path
            for path in sorted(modules.rglob("*.ko*"))
            if path.is_file() and not path.is_symlink()
        }
        listed = (modules / "modules.builtin").read_text().split()
        self.builtin = frozenset(_canonical(line.rpartition("/")[2].removesuffix(".ko")) for line in listed)

    def module(self, name: str) -> Module | None:
        """The module of this name; None if there is none that could be loaded."""
        path = self._files.get(_canonical(name))
        match = path and _MODULE_FILE.fullmatch(path.name)
        if not path or not match:
            return None
        with path.open("rb") as file:
            data = _whole(open_stream(file, match["method"] or "", limit_bytes=_MAX_MODULE_BYTES))
        installed = path.relative_to(self._tree).with_name(f"{match['name']}.ko")
        return Module(name=_canonical(name), path=str(installed), data=data)


def open_kernel(tree: Path) -> Kernel:
    """The kernel in an unpacked package; refused unless it is exactly one and complete."""
    releases = [path.name.removeprefix("vmlinuz-") for path in sorted(tree.glob("boot/vmlinuz-*"))]
    if len(releases) != 1:
        raise DataError(
            "image.kernel.package",
            "this is not a kernel package",
            expected="one file boot/vmlinuz-*",
            found=", ".join(releases) or "none",
        )
    names = ("boot/vmlinuz-{}", "boot/config-{}", "usr/lib/modules/{}/modules.builtin")
    for needed in (name.format(releases[0]) for name in names):
        # A link could name any file of the machine that builds.
        if not (tree / needed).is_file() or (tree / needed).resolve() != tree.resolve() / needed:
            raise DataError("image.kernel.package", f"the kernel package of {releases[0]} lacks {needed}")
    return Kernel(tree, releases[0])


def parse_list(text: str, source: str) -> list[Wanted]:
    """`source` is for refusals."""
    wanted = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or words[1:] not in ([], ["?"]) or not _NAME.fullmatch(words[0]):
            raise OperatorError(
                "image.kernel.list",
                f"{source}:{number} is no module",
                expected="a name, and `?` behind it if the kernel may lack it",
                found=line.strip(),
            )
        wanted.append(Wanted(name=_canonical(words[0]), optional=words[1:] == ["?"]))
    return wanted


def load_order(kernel: Kernel, wanted: Iterable[Wanted]) -> list[Module]:
    """The modules to load, dependencies first, else in the order they were asked for."""
    order: dict[str, Module] = {}
    for item in wanted:
        if item.name in kernel.builtin:
            continue
        module = kernel.module(item.name)
        if module is not None:
            _add(kernel, module, order, ())
        elif not item.optional:
            raise OperatorError(
                "image.kernel.module",
                f"the kernel {kernel.release} has no module {item.name}",
                expected="a module or something built in",
                hint="choose the generic kernel, or mark the module with `?` in the list",
            )
    return list(order.values())


def _add(kernel: Kernel, module: Module, order: dict[str, Module], path: tuple[str, ...]) -> None:
    if module.name in order:
        return
    if len(path) >= _MAX_CHAIN:
        raise DataError("image.kernel.chain", f"{path[0]} needs more than {_MAX_CHAIN} modules one after the other")
    if module.name in path:  # depmod refuses such kernels; without this a bad one would recurse for ever
        raise DataError("image.kernel.cycle", f"kernel modules need each other: {' -> '.join((*path, module.name))}")
    hard, soft = _depends(module)
    for name in (*soft, *hard):
        if name in order or name in kernel.builtin:
            continue
        needed = kernel.module(name)
        if needed is not None:
            _add(kernel, needed, order, (*path, module.name))
        elif name in hard:  # a soft one may also be an alias that something built in answers to, such as crc32c
            raise DataError("image.kernel.module", f"{module.name} needs {name}, which {kernel.release} does not have")
    order[module.name] = module


def _depends(module: Module) -> tuple[list[str], list[str]]:
    """What must be loaded before, and what should be."""
    hard: list[str] = []
    soft: list[str] = []
    for line in section(module.data, ".modinfo", module.path).decode("utf-8", "replace").split("\0"):
        key, _, value = line.partition("=")
        if key == "depends":
            hard += [_canonical(name) for name in value.split(",") if name]
        elif key == "softdep":
            before = value.partition("pre:")[2].partition("post:")[0]
            soft += [_canonical(name) for name in before.split()]
    return hard, soft


def _canonical(name: str) -> str:
    return name.replace("-", "_")


def _whole(stream: Readable) -> bytes:
    return b"".join(iter(lambda: stream.read(1 << 20), b""))
