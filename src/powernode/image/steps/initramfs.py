# SPDX-License-Identifier: MIT
"""Put the initramfs together from the lock's packages and this checkout, and compress it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from powernode.base.canonical import encode
from powernode.base.errors import OperatorError
from powernode.image import initramfs, library
from powernode.image.kernel import Wanted, load_order, open_kernel, parse_list
from powernode.image.pack import pack
from powernode.image.plan import Workspace, digest_of_files
from powernode.image.request import Request
from powernode.image.runtime import interpreter
from powernode.image.trees import Trees

__all__ = ["INITRAMFS", "AssembleInitramfs"]

INITRAMFS = "initramfs.cpio.zst"
_ROOTS = ("powernode.cli.agent",)
_LOCAL = {"local": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleInitramfs:
    """`sources` digests what of the checkout goes in; `files` has the digest of each configuration file."""

    arch: str
    kernel: str
    packages: tuple[str, ...]
    module_lists: tuple[str, ...]
    sources: str
    files: Mapping[str, str]
    checkout: Path
    contents: Mapping[str, bytes] = field(metadata=_LOCAL)

    @classmethod
    def of(cls, request: Request, kernel: str, packages: Sequence[str], checkout: Path) -> AssembleInitramfs:
        contents = {"etc/powernode/config.json": encode(request.config)}
        if request.fleet_root:
            contents["etc/powernode/fleet-root.pem"] = request.fleet_root
        if request.base_set is not None:
            contents["etc/powernode/base.set"] = request.base_set
        lists = tuple(f"{name}.list" for name in ("common", request.target.arch, request.target.board))
        _wanted(checkout, lists)  # a list with a mistake is refused before anything is downloaded
        return cls(
            arch=request.target.arch,
            kernel=kernel,
            packages=tuple(packages),
            module_lists=lists,
            sources=digest_of_files(checkout, _sources(checkout)),
            files={path: hashlib.sha256(data).hexdigest() for path, data in contents.items()},
            checkout=checkout,
            contents=contents,
        )

    def describe(self) -> str:
        return f"assemble the initramfs with the modules of {', '.join(self.module_lists)}"

    def run(self, workspace: Workspace) -> None:
        packed = pack(self.parts(workspace), workspace.cache)
        (workspace.out / INITRAMFS).write_bytes(packed.data)
        workspace.tools["zstd"] = ".".join(map(str, zstandard.ZSTD_VERSION))
        workspace.facts["components"] = {
            component.value: {"bytes": size.raw, "packed_bytes": size.packed}
            for component, size in packed.sizes.items()
        }

    def parts(self, workspace: Workspace) -> list[initramfs.Part]:
        inputs, host = workspace.inputs, workspace.host_inputs
        # First what is quick and may be refused.
        modules = load_order(open_kernel(inputs.tree(self.kernel)), _wanted(self.checkout, self.module_lists))
        trees = Trees([inputs.tree(name) for name in self.packages])
        python = interpreter.build(
            Trees([inputs.tree(name) for name in interpreter.PACKAGES]),
            Trees([host.tree(name) for name in interpreter.PACKAGES]),
            arch=self.arch,
            host_arch=host.lock.arch,
            source=self.checkout / "src",
            roots=_ROOTS,
        )
        native = library.build(self.checkout / "csrc", self.arch, workspace.cache)
        workspace.tools["gcc"] = native.compiler
        return initramfs.assemble(
            initramfs.Contents(
                arch=self.arch,
                trees=trees,
                interpreter=python,
                native=native.data,
                modules=tuple(modules),
                init=(self.checkout / "initramfs/init").read_bytes(),
                config=self.contents,
            )
        )


def _wanted(checkout: Path, lists: Sequence[str]) -> list[Wanted]:
    folder = checkout / "initramfs/kernel-modules"
    missing = [name for name in lists if not (folder / name).is_file()]
    if missing:
        raise OperatorError(
            "image.initramfs.list", f"nobody says which kernel modules go in: {folder} has no {missing[0]}"
        )
    return [module for name in lists for module in parse_list((folder / name).read_text(), name)]


def _sources(checkout: Path) -> list[Path]:
    """Everything of ours that can end in an initramfs; more than does, which costs nothing but a new plan."""
    found = [checkout / "initramfs/init", *(checkout / "initramfs/kernel-modules").glob("*.list")]
    found += (checkout / "csrc").rglob("*.[ch]")
    found += (checkout / "src/powernode").rglob("*.py")
    return found
