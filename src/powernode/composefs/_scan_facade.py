# SPDX-License-Identifier: MIT
"""The scan without the C library: `scan._scan` on top of the pure twin."""

from __future__ import annotations

import errno
import os

from powernode.base.errors import DataError
from powernode.composefs._dump_print import print_dump
from powernode.composefs._image_pure import write_image
from powernode.composefs._scan_pure import scan_directory
from powernode.verity import digest_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from powernode.composefs._scan_options import Progress, ScanOptions
    from powernode.composefs.store import Batch, ObjectStore


def scan(
    directory: str | bytes | os.PathLike[str],
    want_dump: bool,
    options: ScanOptions,
    versions: tuple[int, int],
    store: ObjectStore | None,
    progress: Progress | None,
) -> bytes:
    if store is None:
        root = scan_directory(directory, options, digest_fd=_reader(None, progress))
    else:
        with store.batch() as batch:
            root = scan_directory(directory, options, digest_fd=_reader(batch, progress))
    return print_dump(root) if want_dump else write_image(root, min_version=versions[0], max_version=versions[1])


def _reader(batch: Batch | None, progress: Progress | None) -> Callable[[int], bytes]:
    """What the scan does with every file that is not inlined: while it is open, it is hashed and copied."""
    files = size = 0

    def read(fd: int) -> bytes:
        nonlocal files, size
        digest = digest_fd(fd).value
        if batch is not None:
            try:
                batch.add_fd(fd, digest)
            except DataError as error:  # the copy has another digest
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
        files += 1
        size += os.fstat(fd).st_size
        if progress is not None:
            progress(files, size)
        return digest

    return read
