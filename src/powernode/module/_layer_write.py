# SPDX-License-Identifier: MIT
"""Writing the layer of an image: by the C library, or plainly; the same bytes and the same refusals.

Before a byte is written it is known that the layer says all that the image says: no other image has this layer.
"""

from __future__ import annotations

import io
import os
import struct
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from powernode.archive.chunked.entry import Entry
from powernode.archive.chunked.position import Part, Position
from powernode.archive.chunked.write import Progress, Written, write
from powernode.base.errors import DataError, MachineError
from powernode.composefs import image as images
from powernode.composefs.store import object_path
from powernode.module._layer_tree import MIN_VERSION, composefs_digest, entries_of
from powernode.native.results import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.native import Library

_LAYER = struct.Struct("8Q32s32s32s32s")  # struct pn_layer
_POLL_S = 0.1


def write_plainly(image: bytes, objects: Path, out: int, level: int, progress: Progress | None) -> Written:
    entries = list(entries_of(images.to_tree(image)))
    if composefs_digest(entries) != images.digest(image):
        raise _not_the_same()

    def open_content(entry: Entry) -> BinaryIO:
        if entry.content is not None:
            return io.BytesIO(entry.content)
        assert entry.verity is not None
        try:
            return open(objects / object_path(entry.verity), "rb")
        except OSError as error:
            raise _unreadable(str(error)) from error

    return write(entries, open_content, out, level=level, progress=progress)


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
            status = _watched(library, arguments, counters, progress)
    finally:
        os.close(store)
    if status < 0:
        raise _refusal(status, failure)
    return _written(layer)


def _watched(
    library: Library, arguments: tuple[int | bytes | bytearray, ...], counters: bytearray, progress: Progress
) -> int:
    """The call in a thread of its own, so that this one can report and be interrupted."""
    status: list[int] = []
    worker = Thread(target=lambda: status.append(library.call("pn_layer_write", *arguments)))
    worker.start()
    try:
        while worker.is_alive():
            worker.join(_POLL_S)
            progress(*struct.unpack_from("QQ", counters))
    except BaseException:
        counters[16] = 1  # asks it to stop
        while worker.is_alive():  # its memory must not go before it does, however often that is asked for
            with suppress(KeyboardInterrupt):
                worker.join()
        raise
    return status[0]


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
    if failure.code in ("module.layer.memory", "module.layer.write", "archive.zstd.missing"):
        return MachineError(failure.code, failure.message)
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
