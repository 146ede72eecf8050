# SPDX-License-Identifier: MIT
"""Files of several unpacked packages, seen as one root.

Invariants: links are followed inside their own package only and never out of it; a path that several packages have is
the first one's; nothing is written.

Out of scope: where the packages come from (debian.inputs).

    trees = Trees([inputs.tree("libc6"), inputs.tree("zlib1g")])
    trees.read("usr/lib/x86_64-linux-gnu/libz.so.1")
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from powernode.base.errors import DataError
from powernode.linux.inroot import open_in_root

__all__ = ["Trees"]

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Trees:
    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)

    def find(self, path: str) -> bytes | None:
        """The content of a file, or None if no package has it."""
        for root in self.roots:
            if (content := _content(root, path)) is not None:
                return content
        return None

    def read(self, path: str) -> bytes:
        content = self.find(path)
        if content is None:
            raise DataError("image.tree.missing", f"no package has {path}", hint="is the right package in the lock?")
        return content

    def names(self, folder: str) -> list[str]:
        """What is in a folder, in all packages together, sorted."""
        found: set[str] = set()
        for root in self.roots:
            if (root / folder).is_dir():
                found.update(os.listdir(root / folder))
        return sorted(found)


def _content(root: Path, path: str) -> bytes | None:
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = open_in_root(top, path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return None
    finally:
        os.close(top)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:
        return file.read()
