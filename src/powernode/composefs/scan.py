# SPDX-License-Identifier: MIT
"""A directory on disk as a composefs image or dump text, and its files into an object store on the way.

What the reference tool makes of the same directory, byte for byte: files of up to 64 bytes live in the image, larger
ones are named by their digest, every name counts as a file of its own (`hardlinks=True` keeps names of one inode
together). The walk, reading and hashing run in `threads` threads; small files are hashed many at a time.

    image = image_of("/srv/root")
    image = image_of("/srv/root", store=ObjectStore("/srv/objects"))
"""

from __future__ import annotations

import os

from powernode import native
from powernode.composefs._scan_options import ScanOptions, refuse_source
from powernode.composefs._versions import VERSION_MAX, check_versions
from powernode.verity.params import thread_count

__all__ = ["ScanOptions", "dump_of", "image_of"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.composefs._scan_options import Progress
    from powernode.composefs.store import ObjectStore
    from powernode.native import Library
    from powernode.native.results import Failure

_IMAGE, _DUMP = 0, 1


def image_of(
    directory: str | bytes | os.PathLike[str],
    options: ScanOptions | None = None,
    *,
    threads: int = 0,
    min_version: int = 0,
    max_version: int = VERSION_MAX,
    store: ObjectStore | None = None,
    progress: Progress | None = None,
) -> bytes:
    """The image of a directory; with a store, every object it needs is in there, durable, before this returns."""
    return _scan(directory, _IMAGE, options, threads, (min_version, max_version), store, progress)


def dump_of(
    directory: str | bytes | os.PathLike[str],
    options: ScanOptions | None = None,
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> bytes:
    """The dump text of a directory."""
    return _scan(directory, _DUMP, options, threads, (0, VERSION_MAX), None, progress)


def _scan(
    directory: str | bytes | os.PathLike[str],
    what: int,
    options: ScanOptions | None,
    threads: int,
    versions: tuple[int, int],
    store: ObjectStore | None,
    progress: Progress | None,
) -> bytes:
    options = options or ScanOptions()
    threads = thread_count(threads)
    check_versions(*versions)
    library = native.library()
    if library is None:
        from powernode.composefs import _scan_facade

        return _scan_facade.scan(directory, what == _DUMP, options, versions, store, progress)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise refuse_source(error, directory) from error
    try:
        if store is None:
            return _call(library, fd, what, options, threads, versions, (-1, -1), progress)
        with store.batch(jobs=threads or os.cpu_count() or 1) as batch:
            result = _call(library, fd, what, options, threads, versions, batch.places, progress)
            batch.adopt()
        return result
    finally:
        os.close(fd)


def _call(
    library: Library,
    fd: int,
    what: int,
    options: ScanOptions,
    threads: int,
    versions: tuple[int, int],
    places: tuple[int, int],
    progress: Progress | None,
) -> bytes:
    from powernode.native.results import Failure, NativeBuffer

    failure = Failure()
    counters = bytearray(24)
    with NativeBuffer(library) as result:
        arguments = (fd, what, options.flags, threads, *versions, *places, counters, result.handle, failure.handle)
        if progress is None:
            status = library.call("pn_composefs_from_directory", *arguments)
        else:
            from powernode.native.watched import call_watched

            status = call_watched(library, "pn_composefs_from_directory", arguments, counters, progress)
        if status < 0:
            raise _refusal(status, failure)
        return bytes(result.view())


def _refusal(status: int, failure: Failure) -> Exception:
    """A tree that cannot be read or stored is this machine's trouble; one that no image can hold is data's."""
    from powernode.base.errors import DataError, MachineError

    if failure.code == "composefs.store":
        from powernode.composefs._object_errors import cause_of

        cause, hint = cause_of(-status)
        return MachineError(f"composefs.store.{cause}", f"cannot {failure.message}", hint=hint)
    if failure.code == "composefs.changed":
        return MachineError(failure.code, f"cannot {failure.message}", hint="scan a tree that nobody writes to")
    if failure.code == "composefs.read":
        return MachineError(failure.code, f"cannot {failure.message}")
    if failure.code == "composefs.memory":
        return MachineError(failure.code, "there is not enough memory for this tree", found=failure.message)
    return DataError(failure.code, failure.message)
