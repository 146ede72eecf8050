# SPDX-License-Identifier: MIT
"""fs-verity by the C library; the same functions as _pure."""

from __future__ import annotations

import os
import struct

from powernode import native
from powernode.verity.params import ALGORITHM_NUMBERS, Params

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Buffer

    from powernode.native import Library


def _library() -> Library:
    library = native.library()
    assert library is not None
    return library


def _check(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def _arguments(params: Params) -> tuple[int, int, bytes, int]:
    return ALGORITHM_NUMBERS[params.algorithm], params.block_size, params.salt, len(params.salt)


class Stream:
    def __init__(self, params: Params) -> None:
        self._library = _library()
        self._handle = 0
        self._digest_size = params.digest_size
        handle = bytearray(8)
        _check(self._library.call("pn_verity_stream_new", *_arguments(params), handle))
        self._handle = struct.unpack("Q", handle)[0]

    def __del__(self) -> None:
        if self._handle:
            self._library.call("pn_verity_stream_free", self._handle)

    def update(self, data: Buffer) -> None:
        size = memoryview(data).nbytes
        if size:
            _check(self._library.call("pn_verity_stream_update", self._handle, data, size))

    def finish(self) -> bytes:
        value = bytearray(self._digest_size)
        _check(self._library.call("pn_verity_stream_finish", self._handle, value))
        return bytes(value)


def digest(
    params: Params, data: Buffer | None, fd: int, size: int, threads: int, want_tree: bool
) -> tuple[bytes, bytes]:
    library = _library()
    value = bytearray(params.digest_size)
    tree = None
    if want_tree:
        tree_bytes = library.call("pn_verity_tree_size", ALGORITHM_NUMBERS[params.algorithm], params.block_size, size)
        tree = bytearray(_check(tree_bytes)) or None
    if data is not None and size == 0:
        data = b"\0"  # an empty buffer may have no address, and no address means: read the file
    _check(library.call("pn_verity_digest", *_arguments(params), data, fd, size, threads, tree, value))
    return bytes(value), bytes(tree or b"")


def digest_files(params: Params, paths: Sequence[bytes], threads: int) -> Iterable[bytes | int]:
    size, count = params.digest_size, len(paths)
    values = bytearray(size * count)
    errors = bytearray(4 * count)
    joined = b"\0".join(paths) + b"\0"
    _check(_library().call("pn_verity_files", *_arguments(params), joined, count, threads, values, errors))
    for index, error in enumerate(struct.unpack(f"{count}i", errors)):
        yield -error if error else bytes(values[index * size : (index + 1) * size])
