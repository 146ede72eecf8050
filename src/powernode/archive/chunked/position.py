# SPDX-License-Identifier: MIT
"""Where a layer keeps its table of contents: the annotations of its descriptor, and the footer of the blob.

Behind the compressed archive come three frames that zstd skips: the compressed TOC, the compressed tar-split data, and
a footer of 64 bytes. Whoever knows the descriptor reads the position from the annotations and asks for nothing else;
the footer is for others' tools, when they have a blob without its descriptor.

Invariants: positions lie inside the blob, and sizes are within the limits, before anything is read.

    where = Position.parse(descriptor.annotations, blob_size=descriptor.size, limits=Limits())
    read_range(where.toc.offset, where.toc.size)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from powernode.archive.chunked.entry import Limits
from powernode.base.errors import DataError

__all__ = ["Part", "Position", "skippable"]

_PREFIX = "io.github.containers.zstd-chunked."
_CHECKSUM, _POSITION = f"{_PREFIX}manifest-checksum", f"{_PREFIX}manifest-position"
_SPLIT_POSITION, _SPLIT_CHECKSUM = f"{_PREFIX}tarsplit-position", f"{_PREFIX}tarsplit-checksum"
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A50
_FOOTER = struct.Struct("<QQQQQQQ8s")
_FOOTER_MAGIC = b"GNUlInUx"
_KIND = 1  # of the TOC: that of CRFS
_RATIO_MAX, _RATIO_FREE_BYTES = 200, 8 << 20  # real tables pack 3 to 5 : 1, nothing but empty folders 120 : 1
_HEAD = _SKIPPABLE.size
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_NUMBERS = re.compile(r"\d{1,19}(:\d{1,19})*\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Compressed bytes of the blob, and what they become. `digest` is that of the compressed bytes, where known."""

    offset: int
    size: int
    uncompressed: int
    digest: str | None = None

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    toc: Part
    tar_split: Part

    def annotations(self) -> dict[str, str]:
        toc, split = self.toc, self.tar_split
        assert toc.digest is not None
        assert split.digest is not None
        return {
            _CHECKSUM: toc.digest,
            _POSITION: f"{toc.offset}:{toc.size}:{toc.uncompressed}:{_KIND}",
            _SPLIT_POSITION: f"{split.offset}:{split.size}:{split.uncompressed}",
            # Where early readers looked; later ones look in the TOC.
            _SPLIT_CHECKSUM: split.digest,
        }

    def footer(self) -> bytes:
        toc, split = self.toc, self.tar_split
        numbers = (toc.offset, toc.size, toc.uncompressed, _KIND, split.offset, split.size, split.uncompressed)
        return skippable(_FOOTER.pack(*numbers, _FOOTER_MAGIC))

    @classmethod
    def parse(cls, annotations: Mapping[str, str], *, blob_size: int, limits: Limits) -> Position:
        digest = annotations.get(_CHECKSUM, "")
        if not _DIGEST.match(digest):
            raise _refused("missing", "the layer's descriptor names no table of contents", expected=_CHECKSUM)
        offset, size, uncompressed, kind = _numbers(annotations, _POSITION, 4)
        if kind != _KIND:
            raise _refused("kind", "the table of contents is of an unknown kind", found=str(kind))
        toc = Part(offset=offset, size=size, uncompressed=uncompressed, digest=digest)
        offset, size, uncompressed = _numbers(annotations, _SPLIT_POSITION, 3)
        split = Part(offset=offset, size=size, uncompressed=uncompressed)
        found = cls(toc=toc, tar_split=split)
        found.check(blob_size, limits)
        return found

    def check(self, blob_size: int, limits: Limits) -> None:
        """Refuse what no reader should follow; who writes a layer asks the same."""
        for part in (self.toc, self.tar_split):
            if part.offset < _HEAD or part.size == 0 or part.end > blob_size:
                raise _refused("range", "the tables are not inside the blob", f"below {blob_size}", str(part.end))
        if max(self.toc.size, self.toc.uncompressed) > limits.toc_bytes:
            raise _refused("size", "the table of contents is too large", f"at most {limits.toc_bytes} bytes")
        if self.toc.uncompressed > _RATIO_FREE_BYTES + _RATIO_MAX * self.toc.size:
            expected = f"at most {_RATIO_MAX} : 1"
            raise _refused("ratio", "the table of contents expands like none that names files", expected)


def skippable(data: bytes) -> bytes:
    """A frame that every zstd reader passes over."""
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(data)) + data


def _numbers(annotations: Mapping[str, str], name: str, count: int) -> list[int]:
    text = annotations.get(name, "")
    numbers = [int(part) for part in text.split(":")] if _NUMBERS.match(text) else []
    if len(numbers) != count:
        raise _refused("position", f"the annotation {name} is malformed", f"{count} numbers", repr(text[:100]))
    return numbers


def _refused(what: str, message: str, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"archive.toc.{what}", message, expected=expected, found=found)
