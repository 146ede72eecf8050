# SPDX-License-Identifier: MIT
"""fs-verity in plain Python over hashlib: the readable reference, and what runs where there is no library.

The tree: hash every block of the file (behind the salt, padded with zeros to the block size), write the digests one
after the other, cut that into blocks again, and so on until one digest is left, the root. The digest of the file is the
hash of a descriptor that holds the root, the size and the parameters; the descriptor is not salted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from powernode.verity.params import Params

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from typing_extensions import Buffer

CHUNK_BYTES = 1 << 20
_HASH_BLOCK = {"sha256": 64, "sha512": 128}


class Stream:
    """Takes data in pieces; `finish` gives the digest. Keeps one partial block and the open block of every level."""

    def __init__(self, params: Params, *, keep_tree: bool = False) -> None:
        self._params = params
        # fs-verity pads the salt with zeros to one block of the hash, so that the salted state can be kept.
        padded = params.salt.ljust(_HASH_BLOCK[params.algorithm], b"\0") if params.salt else b""
        self._salted = hashlib.new(params.algorithm, padded)
        self._partial = b""
        self._size = 0
        self._levels: list[bytearray] = []
        self._kept: list[bytearray] | None = [] if keep_tree else None

    def update(self, data: Buffer) -> None:
        block_size = self._params.block_size
        view = memoryview(data).cast("B")
        self._size += len(view)
        if self._partial:
            take = block_size - len(self._partial)
            self._partial += view[:take]
            view = view[take:]
            if len(self._partial) < block_size:
                return
            self._add(0, self._hash(self._partial))
            self._partial = b""
        whole = len(view) - len(view) % block_size
        for start in range(0, whole, block_size):
            self._add(0, self._hash(view[start : start + block_size]))
        self._partial = bytes(view[whole:])

    def finish(self) -> bytes:
        params = self._params
        if self._partial:
            self._add(0, self._hash(self._partial.ljust(params.block_size, b"\0")))
            self._partial = b""
        root = bytes(params.digest_size)
        level = 0
        while self._size:
            waiting = self._levels[level]
            is_top = level == len(self._levels) - 1
            if is_top and len(waiting) == params.digest_size:
                root = bytes(waiting)
                break
            if waiting:
                self._close(level)
            level += 1
        return hashlib.new(params.algorithm, params.descriptor(self._size, root)).digest()

    def tree(self) -> bytes:
        """The Merkle tree as the kernel stores it, root first; only with keep_tree and after finish."""
        assert self._kept is not None
        return b"".join(bytes(level) for level in reversed(self._kept))

    def _hash(self, block: Buffer) -> bytes:
        state = self._salted.copy()
        state.update(block)
        return state.digest()

    def _add(self, level: int, digest: bytes) -> None:
        if level == len(self._levels):
            self._levels.append(bytearray())
        # A full block waits until another digest follows it: only then is it known not to hold the root alone.
        if len(self._levels[level]) == self._params.block_size:
            self._close(level)
        self._levels[level] += digest

    def _close(self, level: int) -> None:
        block = bytes(self._levels[level]).ljust(self._params.block_size, b"\0")
        self._levels[level].clear()
        if self._kept is not None:
            if level == len(self._kept):
                self._kept.append(bytearray())
            self._kept[level] += block
        self._add(level + 1, self._hash(block))


def _pieces(data: Buffer | None, fd: int, size: int) -> Iterator[Buffer]:
    if data is not None:
        yield data
        return
    offset = 0
    while offset < size:
        piece = os.pread(fd, min(CHUNK_BYTES, size - offset), offset)
        if not piece:
            raise OSError(errno.ESTALE, "the file became shorter while it was read")
        yield piece
        offset += len(piece)


def digest(
    params: Params, data: Buffer | None, fd: int, size: int, threads: int, want_tree: bool
) -> tuple[bytes, bytes]:
    """The digest of `data`, or of `size` bytes of `fd`; with the tree if it is wanted. `threads` is for the twin."""
    stream = Stream(params, keep_tree=want_tree)
    for piece in _pieces(data, fd, size):
        stream.update(piece)
    value = stream.finish()
    return value, stream.tree() if want_tree else b""


def digest_files(params: Params, paths: Sequence[bytes], threads: int) -> Iterable[bytes | int]:
    """For every path its digest, or the errno that stood in the way."""
    return [_digest_path(params, path) for path in paths]


def _digest_path(params: Params, path: bytes) -> bytes | int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        return digest(params, None, fd, status.st_size, 1, False)[0]
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        os.close(fd)
