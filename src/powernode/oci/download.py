# SPDX-License-Identifier: MIT
"""A blob as it comes, without I/O: offsets, lengths and the digest checked while it streams, resumed where it broke.

Invariants: what `take` returns are exactly the bytes from the offset on, in order, each once; never more than the
descriptor's size; `finish` returns only when the whole content has the digest. Tries without progress are bounded.

    download = Download(descriptor)
    download.begin(reply)                    # to a request with download.headers()
    sink.write(download.take(piece))         # as often as there are pieces
    download.finish()
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.net.retry import pause_after_error
from powernode.oci.digests import check_content, hasher_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.net.retry import Rules
    from powernode.oci.digests import Hasher
    from powernode.oci.documents import Descriptor
    from powernode.oci.exchange import Reply

__all__ = ["PROGRESS_BYTES", "Download", "check_range", "range_header"]

PROGRESS_BYTES = 1 << 20
"""So much gained makes a try count as a good one, in either direction."""


class Download:
    """`sofar` has been given the first `offset` bytes, which are in somebody's hands already."""

    def __init__(self, descriptor: Descriptor, *, offset: int = 0, sofar: Hasher | None = None) -> None:
        self.position = offset
        self._descriptor = descriptor
        self._hasher = sofar or hasher_for(descriptor.digest)
        self._skip = 0
        self.tried = 0
        self._mark = offset

    @property
    def is_complete(self) -> bool:
        return self.position == self._descriptor.size

    def headers(self) -> list[tuple[str, str]]:
        return [range_header(self.position, self._descriptor.size - self.position)] if self.position else []

    def begin(self, reply: Reply) -> None:
        """A good answer came: is it to what was asked?"""
        self._skip = 0
        if reply.status == 206:
            check_range(reply, self.position, self._descriptor.size - self.position, self._descriptor)
            return
        length = reply.headers.get("content-length")
        if length is not None and length != str(self._descriptor.size):
            raise DataError(
                "oci.blob.size",
                f"the blob {self._descriptor.digest} at {reply.url.authority}",
                expected=f"{self._descriptor.size} bytes",
                found=f"{length} announced",
            )
        self._skip = self.position  # a server without ranges begins at the beginning

    def take(self, data: bytes) -> bytes:
        """Of these bytes from the wire, those that are new."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self.position + len(data) > self._descriptor.size:
            raise DataError(
                "oci.blob.size",
                f"the blob {self._descriptor.digest} is longer than it may be",
                expected=f"{self._descriptor.size} bytes",
            )
        self._hasher.update(data)
        self.position += len(data)
        return data

    def ended(self) -> None:
        """The answer's body is at its end."""
        if not self.is_complete:
            raise DataError(
                "net.truncated",
                f"the blob {self._descriptor.digest} ends early",
                expected=f"{self._descriptor.size} bytes",
                found=f"{self.position}",
            )

    def finish(self) -> None:
        check_content(self._hasher, self._descriptor.digest)

    def pause_after(self, rules: Rules, code: str, chance: float) -> float | None:
        """How long to wait before going on from `position`; None to give up."""
        if self.position - self._mark >= PROGRESS_BYTES:
            self._mark, self.tried = self.position, 0
        self.tried += 1
        return pause_after_error(rules, tried=self.tried, code=code, chance=chance)


def range_header(start: int, length: int) -> tuple[str, str]:
    return "Range", f"bytes={start}-{start + length - 1}"


def check_range(reply: Reply, start: int, length: int, descriptor: Descriptor) -> None:
    """Refuses a partial answer that is not exactly the part that was asked for."""
    if reply.status != 206:
        raise DataError(
            "oci.range.unsupported",
            f"{reply.url.authority} gives no parts of blobs",
            expected="status 206",
            found=f"{reply.status}",
            hint="fetch the whole blob",
        )
    expected = f"bytes {start}-{start + length - 1}/{descriptor.size}"
    found = reply.headers.get("content-range") or "none"
    if found not in (expected, f"{expected.partition('/')[0]}/*"):
        raise DataError("oci.range.wrong", "another part of the blob than was asked for", expected=expected,
                        found=repr(found[:100]))  # fmt: skip
    announced = reply.headers.get("content-length")
    if announced not in (None, str(length)):
        raise DataError("oci.range.wrong", "the part is of another length", expected=f"{length}", found=announced)
