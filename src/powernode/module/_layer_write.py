# SPDX-License-Identifier: MIT
"""Writing the layer of an image: by the C library, or plainly; the same bytes and the same refusals.

Before a byte is written it is known that the layer says all that the image says: no other image has this layer.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

from powernode.archive.chunked.entry import Entry
from powernode.archive.chunked.position import Part, Position
from powernode.archive.chunked.write import Progress, Written, write
from powernode.base.errors import DataError, MachineError
from powernode.composefs import image as images
from powernode.composefs.store import object_path
from powernode.module._layer_tree import MIN_VERSION, composefs_digest, entries_of
from powernode.native.results import Failure
from powernode.native.watched import call_watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.native import Library

_HINTS = {
    "module.layer.memory": "leave more memory free, or use fewer threads",
    "module.layer.write": "free some space, or write elsewhere",
    "archive.zstd.missing": "install libzstd1",
}
_LAYER = struct.Struct("8Q32s32s32s32s")  # struct pn_layer


def write_plainly(image: bytes, objects: Path, out: int, level: int, progress: Progress | None) -> Written:
    entries = list(entries_of(images.to_tree(image)))
    if composefs_digest(entries) != images.digest(image):
        raise _not_the_same()

    def open_content(entry: Entry) -> BinaryIO:
        if entry.content is not None:
            return io.BytesIO(entry.content)
        assert entry.verity is not None
        try:
            return _Object(objects / object_path(entry.verity))
        except OSError as error:
            raise _unreadable(str(error)) from error

    return write(entries, open_content, out, level=level, progress=progress)


class _Object(io.FileIO):
    """A file whose failures are told as the module's, as the library tells them."""

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(size)
        except OSError as error:
            raise _unreadable(str(error)) from error


def write_by(
    library: Library, image: bytes, objects: Path, out: int, level: int, threads: int, progress: Progress | None
) -> Written:
    # The library refuses what a layer cannot say; what is left is an image that is not the one spelling of its tree.
    if images.from_dump(images.dump(image), min_version=MIN_VERSION) != image:
        raise _not_the_same()
    layer, failure, counters = bytearray(_LAYER.size), Failure(), bytearray(24)
    try:
        store = os.open(objects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(str(error)) from error
    try:
        arguments = (image, len(image), store, out, level, threads, counters, layer, failure.handle)
        if progress is None:
            status = library.call("pn_layer_write", *arguments)
        else:
            status = call_watched(library, "pn_layer_write", arguments, counters, progress)
    finally:
        os.close(store)
    if status < 0:
        raise _refusal(status, failure)
    return _written(layer)


def _written(layer: bytearray) -> Written:
    size, archive, toc_at, toc_size, toc_text, split_at, split_size, split_text, *digests = _LAYER.unpack(layer)
    blob, diff_id, toc, split = (f"sha256:{digest.hex()}" for digest in digests)
    return Written(
        digest=blob,
        size=size,
        diff_id=diff_id,
        uncompressed_size=archive,
        position=Position(
            toc=Part(offset=toc_at, size=toc_size, uncompressed=toc_text, digest=toc),
            tar_split=Part(offset=split_at, size=split_size, uncompressed=split_text, digest=split),
        ),
    )


def _refusal(status: int, failure: Failure) -> Exception:
    """What cannot be read, written or held in memory is this machine's trouble; what no layer can hold is data's."""
    if failure.code in _HINTS:
        return MachineError(failure.code, failure.message, hint=_HINTS[failure.code])
    if failure.code == "module.layer.object":
        return _unreadable(failure.message)
    return failure.error(status, "byte", "image")


def _unreadable(cause: str) -> MachineError:
    return MachineError(
        "module.layer.object",
        "an object of the module cannot be read",
        found=cause,
        hint="build the module again",
    )


def _not_the_same() -> DataError:
    return DataError(
        "module.layer.not-the-same",
        "the image holds what a layer cannot say, so that the layer would be of another image",
        expected="the image that this library makes of the tree",
    )
