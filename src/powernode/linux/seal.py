# SPDX-License-Identifier: MIT
"""Seal many files with fs-verity, in parallel, and let the kernel say which are what they should be.

Invariants: a file counts as good (0) only if the kernel measured the expected SHA-256 digest (blocks of 4096, no salt);
files that are sealed already are only measured, so an interrupted run goes on where it was; on a full disk the rest is
not tried. With the C library and without it the answers are the same; without it, only one thread works at a time.

Out of scope: making it durable (`files.syncfs` before you rely on it), which files, computing digests.

    watch = Watch()                                   # another thread may read it or cancel
    for (name, _), number in zip(wanted, seal_files(directory_fd, wanted, watch=watch)):
        if number:
            raise refusal(name, number)
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from powernode import native
from powernode.base.errors import DataError, InternalError, MachineError, PowernodeError
from powernode.linux import fsverity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.native import Library

__all__ = ["Watch", "refusal", "seal_files"]

_DIGEST_SIZE = 32
_MEASURE_ONLY = 1
_FULL = (errno.ENOSPC, errno.EDQUOT)

# What the kernel's answer says about a file; the rest is fs-verity's own refusals.
_FILE_REFUSALS = {
    errno.EBADMSG: ("digest", "the file is not what its digest says", "fetch it again"),
    errno.ENODATA: ("unsealed", "the file is not sealed with fs-verity", "seal it first"),
    errno.ENOENT: ("missing", "the file is not there", "fetch it again"),
    errno.ENOTDIR: ("missing", "the file is not there", "fetch it again"),
    errno.ELOOP: ("link", "there is a symbolic link instead of the file", "remove it and fetch the file again"),
}


class Watch:
    """What a run has done so far, and the way to end it early."""

    def __init__(self) -> None:
        self.words = bytearray(24)

    @property
    def files(self) -> int:
        return self._word(0)

    @property
    def size_bytes(self) -> int:
        return self._word(1)

    @property
    def cancelled(self) -> bool:
        return self._word(2) != 0

    def cancel(self) -> None:
        """End the run: what was not reached gets ECANCELED."""
        self.words[16] = 1

    def count(self, size_bytes: int) -> None:
        struct.pack_into("QQ", self.words, 0, self.files + 1, self.size_bytes + size_bytes)

    def _word(self, index: int) -> int:
        word: int = struct.unpack_from("Q", self.words, 8 * index)[0]
        return word


def seal_files(
    directory: int,
    files: Sequence[tuple[str, bytes]],
    *,
    measure_only: bool = False,
    threads: int = 0,
    watch: Watch | None = None,
) -> list[int]:
    """For each (name below the descriptor `directory`, digest): 0, or the errno that says why not.

    `threads` 0 means one for each CPU. `measure_only` seals nothing: what is not sealed is ENODATA.
    """
    for name, digest in files:
        if len(digest) != _DIGEST_SIZE or not name or "\0" in name:
            raise InternalError("linux.seal.entry", f"{name!r} with {len(digest)} bytes is no file to seal")
    library = native.library()
    if not files:
        return []
    watch = watch or Watch()
    if library is None:
        return _without_library(directory, files, measure_only, watch)
    return _by_library(library, directory, files, measure_only, threads, watch)


def refusal(name: str, number: int) -> PowernodeError:
    """The error for a file of which `seal_files` answered `number`."""
    found = os.strerror(number)
    if number in _FILE_REFUSALS:
        cause, message, hint = _FILE_REFUSALS[number]
        return DataError(f"linux.seal.{cause}", f"cannot believe {name}: {message}", found=found, hint=hint)
    if number == errno.ECANCELED:
        return MachineError("linux.seal.cancelled", f"{name} was not reached", found=found, hint="seal again")
    if number in (errno.EIO, errno.EUCLEAN):
        return DataError("linux.fsverity.damaged", f"cannot read {name}", found=found, hint="the storage is damaged")
    code, message, known_hint = fsverity._ENABLE_REFUSALS.get(number, ("linux.seal.failed", "the kernel refused", None))
    return MachineError(code, f"cannot seal {name}: {message}", found=found, hint=known_hint)


def _by_library(
    library: Library,
    directory: int,
    files: Sequence[tuple[str, bytes]],
    measure_only: bool,
    threads: int,
    watch: Watch,
) -> list[int]:
    names = b"\0".join(os.fsencode(name) for name, _ in files) + b"\0"
    digests = b"".join(digest for _, digest in files)
    errors = bytearray(4 * len(files))
    flags = _MEASURE_ONLY if measure_only else 0
    result = library.call("pn_linux_seal", directory, names, digests, len(files), flags, threads, watch.words, errors)
    if result:
        raise MachineError("linux.seal.failed", "cannot seal the files", found=os.strerror(-result))
    return [-error for error in struct.unpack(f"{len(files)}i", errors)]


def _without_library(directory: int, files: Sequence[tuple[str, bytes]], measure_only: bool, watch: Watch) -> list[int]:
    answers = [errno.ECANCELED] * len(files)
    for index, (name, digest) in enumerate(files):
        if watch.cancelled:
            break
        answers[index], size = _seal_file(directory, name, digest, measure_only)
        watch.count(size)
        if answers[index] in _FULL:
            watch.cancel()
    return answers


def _seal_file(directory: int, name: str, digest: bytes, measure_only: bool) -> tuple[int, int]:
    """The errno and the size of what was opened."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        return error.errno or errno.EIO, 0
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return errno.EINVAL, 0
        return _seal_open_file(fd, digest, measure_only), status.st_size
    finally:
        os.close(fd)


def _seal_open_file(fd: int, digest: bytes, measure_only: bool) -> int:
    number = _measure(fd, digest)
    if number != errno.ENODATA or measure_only:
        return number
    try:
        fsverity.enable(fd)
    except PowernodeError as error:
        number = _number(error)
        if number != errno.EEXIST:
            return number
    return _measure(fd, digest)


def _measure(fd: int, digest: bytes) -> int:
    try:
        return 0 if fsverity.measure(fd) == ("sha256", digest) else errno.EBADMSG
    except PowernodeError as error:
        return _number(error)


def _number(error: PowernodeError) -> int:
    """The errno behind one of `fsverity`'s refusals; one without is a digest we do not know."""
    cause = error.__cause__
    return (cause.errno or errno.EIO) if isinstance(cause, OSError) else errno.EBADMSG
