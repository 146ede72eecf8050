# SPDX-License-Identifier: MIT
"""Whether objects that are there already are what they are called.

A name says which content an object should have; it may have been cut short or changed since. Its size is compared for
the price of a stat. `changed` asks the kernel for the digest, which fs-verity answers without reading, and reads the
object where it does not.

Out of scope: what becomes of damaged ones (`pull` replaces a directory and refuses a shared store).

    sizes = sizes_of(images.to_tree(image))
    of_other_size(Path("redis/objects"), sizes) or changed(Path("redis/objects"), sizes)
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from powernode import verity
from powernode.base.errors import PowernodeError
from powernode.composefs.store import object_path
from powernode.composefs.tree import Directory, RegularFile, walk
from powernode.linux import fsverity

__all__ = ["changed", "of_other_size", "sizes_of"]


def sizes_of(tree: Directory) -> Mapping[bytes, int]:
    """The objects of a tree, by their digests."""
    nodes = (node for _, node in walk(tree))
    return {node.digest: node.size for node in nodes if isinstance(node, RegularFile) and node.digest is not None}


def of_other_size(objects: Path, sizes: Mapping[bytes, int]) -> list[bytes]:
    """Those that are not there as files of the right size."""
    return [digest for digest, size in sizes.items() if _size(objects / object_path(digest)) != size]


def changed(objects: Path, digests: Iterable[bytes]) -> list[bytes]:
    """Those that do not have the content they are called by, or cannot be read."""
    return [digest for digest in digests if _digest(objects / object_path(digest)) != digest]


def _size(path: Path) -> int | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _digest(path: Path) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        try:
            return fsverity.measure(fd)[1]
        except PowernodeError:  # not sealed, or a filesystem that cannot
            return verity.digest_fd(fd).value
    except (OSError, PowernodeError):
        return None
    finally:
        os.close(fd)
