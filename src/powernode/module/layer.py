# SPDX-License-Identifier: MIT
"""A module's layer: from the module's directory to zstd:chunked, and back to a tree and its objects.

Invariants: tree and layer say the same: the composefs image of a layer's tree, made from the whole archive or from the
table of contents alone, is the module's image, or the layer is not written. So trees have no hard links, whole seconds,
UTF-8 names, link counts as files and directories have them, and nothing but files, directories and symbolic links. An
object gets its name in the store only after its fs-verity digest was compared.

Out of scope: descriptors, registries, who vouches for the digest of the table of contents.

    written = write_layer(module, file)
    toc = read_toc(read_range, written.annotations, blob_size=written.size)
    composefs_digest(toc) == module.digest
    with store.batch() as batch:
        fetch_missing(missing(toc, store), read_range, batch)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import BinaryIO

from powernode import native
from powernode.archive._zstd import decompress
from powernode.archive.chunked import toc as tocs
from powernode.archive.chunked.entry import Limits
from powernode.archive.chunked.position import Position
from powernode.archive.chunked.toc import Toc
from powernode.archive.chunked.write import LEVEL, LEVELS, Progress, Written
from powernode.base.digest import Digest
from powernode.base.errors import DataError, OperatorError
from powernode.module import _layer_write
from powernode.module._layer_fetch import Range, ReadRange, Stream, exactly, fetch_missing, missing, read_layer
from powernode.module._layer_tree import composefs_digest as digest_of_entries
from powernode.module._layer_tree import tree_of as tree_of_entries
from powernode.verity.params import thread_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.composefs.tree import Directory
    from powernode.module.directory import Module

__all__ = ["LEVEL", "Limits", "Progress", "Range", "ReadRange", "Toc", "Written", "composefs_digest"]
__all__ += ["fetch_missing", "missing", "read_layer", "read_toc", "tree_of", "write_layer"]


def write_layer(
    module: Module,
    out: BinaryIO,
    *,
    level: int = LEVEL,
    threads: int = 0,
    progress: Progress | None = None,
) -> Written:
    """Writes the module's layer to a file. `level` is zstd's; `threads`: 0 takes all CPUs of the process."""
    if level not in LEVELS:
        raise OperatorError(
            "module.layer.level", "this level of compression cannot be used", expected="1 to 19", found=str(level)
        )
    image = module.image.read_bytes()
    out.flush()
    library = native.library()
    if library is None:
        written = _layer_write.write_plainly(image, module.objects, out.fileno(), level, progress)
    else:
        threads = thread_count(threads)
        written = _layer_write.write_by(library, image, module.objects, out.fileno(), level, threads, progress)
    _check_readable(written, Limits())
    return written


def _check_readable(written: Written, limits: Limits) -> None:
    """No layer that every reader would refuse; the writers saw to the number of entries and to the names."""
    written.position.check(written.size, limits)
    if written.uncompressed_size > limits.bytes:
        raise DataError(
            "module.layer.size",
            "the module is larger than a layer may be",
            expected=f"at most {limits.bytes} bytes",
            found=str(written.uncompressed_size),
            hint="ship less: file_spec and mask say what",
        )


def read_toc(
    read_range: ReadRange, annotations: Mapping[str, str], *, blob_size: int, limits: Limits | None = None
) -> Toc:
    """The table of contents that a layer's descriptor names, compared with the digest there."""
    limits = limits or Limits()
    part = Position.parse(annotations, blob_size=blob_size, limits=limits).toc
    data = exactly(Stream(read_range, part.offset, part.size), part.size)
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != part.digest:
        raise DataError(
            "module.layer.toc-digest",
            "the table of contents is not the one that the descriptor names",
            expected=part.digest,
            found=found,
        )
    toc = tocs.decode(decompress(data, size=part.uncompressed), limits=limits)
    last = max(entry.end_offset for entry in toc.entries)
    if last > part.offset:
        raise DataError(
            "archive.toc.range",
            "a content is not in front of the table of contents",
            expected=f"below {part.offset}",
            found=str(last),
        )
    return toc


def tree_of(toc: Toc) -> Directory:
    return tree_of_entries(toc.entries)


def composefs_digest(toc: Toc) -> Digest:
    """The digest of the composefs image that the layer is."""
    return digest_of_entries(toc.entries)
