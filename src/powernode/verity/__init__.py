# SPDX-License-Identifier: MIT
"""fs-verity digests: the number the kernel enforces a file against.

May use base and native; used by everything that names a file by its content. On the start-up path of the shortest
commands, so it imports only what it needs. Reading and hashing only; enabling and measuring in the kernel is
`powernode.linux.fsverity`.

    digest_file("/usr/bin/true")            # Digest('sha256', …)
    hasher = Hasher(); hasher.update(piece); hasher.digest()
"""

from __future__ import annotations

import errno
import os
import stat

from powernode import native
from powernode.base.digest import Digest
from powernode.base.errors import MachineError, OperatorError
from powernode.verity.params import Params, thread_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from typing_extensions import Buffer

__all__ = [
    "Digest",
    "Hasher",
    "Params",
    "descriptor",
    "digest_buffer",
    "digest_fd",
    "digest_file",
    "digest_files",
    "merkle_tree",
]

DEFAULT = Params()


def _implementation() -> ModuleType:
    if native.library() is not None:
        from powernode.verity import _native as implementation
    else:
        from powernode.verity import _pure as implementation  # type: ignore[no-redef]
    return implementation


def _explain(error: OSError, what: str) -> Exception:
    if error.errno == errno.ESTALE:
        return MachineError(
            "verity.file-changed",
            f"{what} became shorter while it was read",
            hint="hash it when nothing writes to it",
        )
    if error.filename is None and error.errno is not None:
        return OSError(error.errno, os.strerror(error.errno), what)
    return error


def _digest(
    params: Params, data: Buffer | None, fd: int, size: int, threads: int, want_tree: bool, what: str
) -> tuple[Digest, bytes]:
    threads = thread_count(threads)
    try:
        value, tree = _implementation().digest(params, data, fd, size, threads, want_tree)
    except OSError as error:
        raise _explain(error, what) from error
    return Digest(params.algorithm, value), tree


def _path(path: str | bytes | os.PathLike[str]) -> bytes:
    name = os.fsencode(path)
    if b"\0" in name or not name:
        raise OperatorError("verity.path", "a path is empty or holds a NUL byte", found=repr(name[:100]))
    return name


def _regular_size(fd: int, what: str) -> int:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OperatorError(
            "verity.not-a-file", f"{what} is not a regular file", hint="only regular files have a digest"
        )
    return status.st_size


def digest_fd(fd: int, params: Params = DEFAULT, *, threads: int = 0) -> Digest:
    """The digest of an open regular file, whatever its offset. `threads`: 0 takes all CPUs of the process."""
    what = f"file descriptor {fd}"
    return _digest(params, None, fd, _regular_size(fd, what), threads, False, what)[0]


def digest_file(path: str | bytes | os.PathLike[str], params: Params = DEFAULT, *, threads: int = 0) -> Digest:
    # O_NONBLOCK: a FIFO is refused, not waited for.
    name = os.fsdecode(_path(path))
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return _digest(params, None, fd, _regular_size(fd, name), threads, False, name)[0]
    finally:
        os.close(fd)


def digest_buffer(data: Buffer, params: Params = DEFAULT, *, threads: int = 0) -> Digest:
    return _digest(params, data, -1, memoryview(data).nbytes, threads, False, "the buffer")[0]


def digest_files(
    paths: Sequence[str | bytes | os.PathLike[str]], params: Params = DEFAULT, *, threads: int = 0
) -> list[Digest | OSError]:
    """Many files at once, small ones together in the lanes of one kernel. One that fails does not stop the others."""
    names = [_path(path) for path in paths]
    results = _implementation().digest_files(params, names, thread_count(threads))
    return [
        OSError(value, "Not a regular file" if value == errno.EINVAL else os.strerror(value), os.fsdecode(name))
        if isinstance(value, int)
        else Digest(params.algorithm, value)
        for name, value in zip(names, results, strict=True)
    ]


def merkle_tree(source: int | Buffer, params: Params = DEFAULT, *, threads: int = 0) -> tuple[Digest, bytes]:
    """The digest and the Merkle tree of an open file or a buffer, as the kernel stores it: root block first."""
    if isinstance(source, int):
        what = f"file descriptor {source}"
        return _digest(params, None, source, _regular_size(source, what), threads, True, what)
    return _digest(params, source, -1, memoryview(source).nbytes, threads, True, "the buffer")


def descriptor(fd: int, params: Params, tree: bytes) -> bytes:
    """The fs-verity descriptor of an open file whose Merkle tree is `tree` (from merkle_tree)."""
    size = _regular_size(fd, f"file descriptor {fd}")
    if size == 0:
        return params.descriptor(0, b"")
    # The root is the hash of the first block of the tree, or of the only block of the file if there is no tree.
    block = tree[: params.block_size] or os.pread(fd, params.block_size, 0)
    return params.descriptor(size, block_hash(block, params))


def block_hash(block: Buffer, params: Params) -> bytes:
    """The salted hash of one block, padded with zeros to the block size: one step of the tree."""
    import hashlib

    hasher = hashlib.new(params.algorithm)
    if params.salt:
        hasher.update(params.salt.ljust(hasher.block_size, b"\0"))
    hasher.update(bytes(block).ljust(params.block_size, b"\0"))
    return hasher.digest()


class Hasher:
    """The digest of data that arrives in pieces. `digest` may be called again, `update` not after it."""

    def __init__(self, params: Params = DEFAULT) -> None:
        self._algorithm = params.algorithm
        self._stream = _implementation().Stream(params)
        self._digest: Digest | None = None

    def update(self, data: Buffer) -> None:
        if self._digest is not None:
            raise OperatorError("verity.finished", "this hasher has given its digest", hint="make a new Hasher")
        self._stream.update(data)

    def digest(self) -> Digest:
        if self._digest is None:
            self._digest = Digest(self._algorithm, self._stream.finish())
        return self._digest
