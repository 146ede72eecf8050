# SPDX-License-Identifier: MIT
"""The scan without the C library: `scan._scan` on top of the pure twin."""

from __future__ import annotations

import os

from powernode.base.errors import InternalError
from powernode.composefs._dump_print import print_dump
from powernode.composefs._image_pure import write_image
from powernode.composefs._scan_pure import scan_directory
from powernode.composefs.tree import Directory, RegularFile, walk
from powernode.verity import digest_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.composefs._scan_options import Progress, ScanOptions
    from powernode.composefs.store import ObjectStore


def scan(
    directory: str | bytes | os.PathLike[str],
    want_dump: bool,
    options: ScanOptions,
    versions: tuple[int, int],
    store: ObjectStore | None,
    progress: Progress | None,
) -> bytes:
    root = scan_directory(
        os.fsencode(directory),
        digest_fd=lambda fd: digest_fd(fd).value,
        use_epoch=options.epoch,
        skip_xattrs=options.xattrs == "none",
        user_xattrs=options.xattrs == "user",
        skip_devices=not options.devices,
        hardlinks=options.hardlinks,
    )
    if store is not None:
        _fill(store, os.fsencode(directory), root, progress)
    return print_dump(root) if want_dump else write_image(root, min_version=versions[0], max_version=versions[1])


def _fill(store: ObjectStore, directory: bytes, root: Directory, progress: Progress | None) -> None:
    files = size = 0
    with store.batch() as batch:
        for path, node in walk(root):
            if not isinstance(node, RegularFile) or node.payload is None:
                continue
            if node.digest is None:
                raise InternalError("scan.no-digest", f"{os.fsdecode(path)} was scanned without its digest")
            fd = os.open(directory + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                batch.add_fd(fd, node.digest)
            finally:
                os.close(fd)
            files += 1
            size += node.size
            if progress is not None:
                progress(files, size)
