# SPDX-License-Identifier: MIT
"""Two versions of a module to pull, and what comes of it."""

from __future__ import annotations

import os
import random
from pathlib import Path

from powernode.module.pull import ORIGIN, Pulled, pull
from powernode.net.http import Request
from powernode.oci.client import Registry
from powernode.oci.documents import Descriptor, Manifest
from support._oci_modules import Made
from support.registry import Direct

FILES = 40
TIME = 1_700_000_000


def small_tree(folder: Path, *, changed: int = 0) -> Path:
    """Files without repetitions, in which everything has the same time."""
    chance = random.Random(7)
    (folder / "etc").mkdir(parents=True)
    for number in range(FILES):
        data = chance.randbytes(20_000)
        (folder / f"etc/f{number}").write_bytes(data if number >= changed else data[::-1])
    (folder / "etc/link").symlink_to("f0")
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (TIME, TIME), follow_symlinks=False)
    return folder


def pulled(registry: Registry, version: str, directory: Path, **options: Path | bool | None) -> Pulled:
    return pull(registry, registry.manifest(version).descriptor, directory, arch="amd64", **options)  # type: ignore[arg-type]


def contents(directory: Path) -> dict[str, bytes]:
    """The objects and the image."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.name not in (ORIGIN, "module.json")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def layer_of(made: Made) -> Descriptor:
    manifest = made.layout.document(made.manifests[0])
    assert isinstance(manifest, Manifest)
    return manifest.layers[0]


def blob_requests(direct: Direct, made: Made) -> list[Request]:
    return [each for each in direct.seen if each.url.path.endswith(layer_of(made).digest)]
