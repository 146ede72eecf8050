# SPDX-License-Identifier: MIT
"""Objects, and what is in a store of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from powernode.composefs.store import ObjectStore, object_path


def digest_data(data: bytes) -> bytes:
    """Any 32 bytes that depend on the content will do here."""
    return hashlib.sha256(b"object" + data).digest()


def digest_fd(fd: int) -> bytes:
    return digest_data(os.pread(fd, 1 << 24, 0))


def files_of(objects: ObjectStore) -> dict[str, bytes]:
    root = Path(objects.path)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def some(count: int, size: int = 100) -> list[bytes]:
    return [f"{number}-".encode().ljust(size, b".") for number in range(count)]


def damage(objects: ObjectStore, digest: bytes, data: bytes) -> None:
    path = Path(objects.path, object_path(digest))
    path.unlink()  # a sealed file could not be written to
    path.write_bytes(data)
