# SPDX-License-Identifier: MIT
"""A blob to a registry, without I/O: mounted from a neighbour, in one piece or in several, resumed where it broke off.

Invariants: `upload` returns only after the registry has said that it has content with this digest; what of it the
registry has already (told by its Range) is not sent again; the number of tries is bounded, and only coming further than
ever before renews it. What is given up is cancelled, if the registry can still be told: it would fill its disk.

Out of scope: whether the blob was there before (`protocol.has_blob`).

    if not (yield from mount(session, descriptor, "acme/base")):
        yield from upload(session, descriptor, source)
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.net.retry import TEMPORARY_CODES
from powernode.oci.download import PROGRESS_BYTES
from powernode.oci.exchange import Ask, Pause, checked_target, exchange, pause_for, pause_for_status, refusal
from powernode.oci.protocol import check_stated, has_blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from powernode.net.http import Content, Url
    from powernode.oci.documents import Descriptor
    from powernode.oci.exchange import Reply, Session, Steps

    class Source(Protocol):
        """A blob's content that can be read from anywhere, more than once."""

        def part(self, start: int, length: int) -> bytes | Content: ...


__all__ = ["CHUNK_BYTES", "mount", "upload"]

CHUNK_BYTES = 32 << 20
"""Blobs up to this size go in one piece."""

_MAX_BEGINNINGS = 3
_OCTETS = ("Content-Type", "application/octet-stream")


def mount(session: Session, descriptor: Descriptor, source: str) -> Steps[bool]:
    """Whether the registry took the blob from its repository `source`."""
    reply = yield from _start(session, descriptor, source)
    if reply.status == 201:
        check_stated(reply, descriptor.digest)
        return True
    cancel = Ask("DELETE", checked_target(reply.url, reply.headers.get("location")))
    yield from exchange(session, cancel, session.push)  # whatever comes of it: uploads expire
    return False


def upload(session: Session, descriptor: Descriptor, source: Source, *, chunk: int = CHUNK_BYTES) -> Steps[None]:
    tried = 0
    for _ in range(_MAX_BEGINNINGS):
        reply = yield from _start(session, descriptor)
        sending = _Sending(session, descriptor, source, reply, chunk, tried)
        try:
            if (yield from sending.run()):
                return
            # The upload is gone, perhaps because it was complete when the connection broke off.
            if (yield from has_blob(session, descriptor)):
                return
        except PowernodeError as error:
            if error.code not in TEMPORARY_CODES:  # or it would not hear us
                yield from sending.cancel()
            raise
        yield from sending.cancel()
        tried = sending.tried
    raise _lost(descriptor, f"begun {_MAX_BEGINNINGS} times")


class _Sending:
    """One upload, from the registry's first answer on."""

    def __init__(
        self, session: Session, descriptor: Descriptor, source: Source, reply: Reply, chunk: int, tried: int
    ) -> None:
        self._session = session
        self._descriptor = descriptor
        self._source = source
        self._offset = self._furthest = 0
        self._location = _location(reply)
        least = reply.headers.get("oci-chunk-min-length") or ""
        self._chunk = max(chunk, int(least) if least.isascii() and least.isdigit() and len(least) < 10 else 0)
        self._is_gone = False
        self.tried = tried

    def cancel(self) -> Steps[None]:
        """Unless the registry said that it is gone. Whatever comes of it: uploads expire."""
        if not self._is_gone:
            with suppress(PowernodeError):
                yield from exchange(self._session, Ask("DELETE", self._location, again=False), self._session.push)

    def run(self) -> Steps[bool]:
        """True when the blob is there, False when the upload is gone and another must be begun."""
        size = self._descriptor.size
        while True:
            is_last = self._offset == size or (self._offset == 0 and size <= self._chunk)
            ask = self._closing() if is_last else self._piece()
            try:
                reply = yield from exchange(self._session, ask, self._session.push)
            except PowernodeError as error:
                yield from self._again(error)
            else:
                if is_last and reply.status in (201, 204):
                    check_stated(reply, self._descriptor.digest)
                    return True
                if not is_last and reply.status in (202, 204):
                    self._advance(reply)
                    continue
                if reply.status == 404:
                    self._is_gone = True
                    self._give_up_after(reply)
                    return False
                if reply.status != 416:
                    yield self._pause_after(reply)
                else:
                    self._give_up_after(reply)
            # With nothing there to go on from, beginning again is as good and works with every registry.
            if (is_last and not self._offset) or not (yield from self._ask_offset()):
                return False

    def _closing(self) -> Ask:
        separator = "&" if "?" in self._location.target else "?"
        url = self._location.at(f"{self._location.target}{separator}digest={quote(self._descriptor.digest)}")
        left = self._descriptor.size - self._offset
        body = self._source.part(self._offset, left) if left else b""
        return Ask("PUT", url, headers=[_OCTETS], body=body, again=False)

    def _piece(self) -> Ask:
        length = min(self._chunk, self._descriptor.size - self._offset)
        headers = [_OCTETS, ("Content-Range", f"{self._offset}-{self._offset + length - 1}")]
        return Ask("PATCH", self._location, headers=headers, body=self._source.part(self._offset, length), again=False)

    def _advance(self, reply: Reply) -> None:
        length = min(self._chunk, self._descriptor.size - self._offset)
        has = _range_end(reply)
        if has is None:
            has = self._offset + length
        if not self._offset < has <= self._offset + length:
            raise _wrong_range(reply, f"{self._offset + 1} to {self._offset + length} bytes", has)
        self._offset = has
        self._location = _location(reply, self._location)
        if has - self._furthest >= min(length, PROGRESS_BYTES):
            self._furthest, self.tried = has, 0
            return
        self.tried += 1  # it forgets, or takes next to nothing of each piece
        if self.tried >= self._session.rules.tries:
            raise _lost(self._descriptor, f"{self._furthest} bytes are there after {self.tried} tries")

    def _ask_offset(self) -> Steps[bool]:
        """Learn how much of it the registry has; False when it does not know the upload any more."""
        reply = yield from exchange(self._session, Ask("GET", self._location), self._session.push)
        if reply.status == 404:
            self._is_gone = True
            return False
        if reply.status not in (204, 202, 200):
            raise refusal(reply, f"the upload of {self._descriptor.digest}")
        has = _range_end(reply)
        # Some say 0-0 of an upload that is empty. If there is one byte, the next piece is refused and we begin again.
        self._offset = 0 if has in (None, 1) else int(has or 0)
        if self._offset > self._descriptor.size:
            raise _wrong_range(reply, f"at most {self._descriptor.size} bytes", self._offset)
        self._location = _location(reply, self._location)
        return True

    def _again(self, error: PowernodeError) -> Steps[None]:
        self.tried += 1
        yield pause_for(self._session, self.tried, error)

    def _pause_after(self, reply: Reply) -> Pause:
        self.tried += 1
        pause = pause_for_status(self._session, self.tried, reply)
        if pause is None:
            raise refusal(reply, f"the upload of {self._descriptor.digest}")
        return pause

    def _give_up_after(self, reply: Reply) -> None:
        self.tried += 1
        if self.tried >= self._session.rules.tries:
            raise refusal(reply, f"the upload of {self._descriptor.digest}")


def _start(session: Session, descriptor: Descriptor, mount_from: str | None = None) -> Steps[Reply]:
    query, scope = "", session.push
    if mount_from is not None:
        query = f"?mount={quote(descriptor.digest)}&from={quote(mount_from, safe='')}"
        scope = session.mount(mount_from)
    reply = yield from exchange(session, Ask("POST", session.url(f"blobs/uploads/{query}")), scope)
    if reply.status != 202 and not (reply.status == 201 and mount_from is not None):
        raise refusal(reply, f"an upload to {session.repository}")
    return reply


def _location(reply: Reply, known: Url | None = None) -> Url:
    stated = reply.headers.get("location")
    return known if known is not None and not stated else checked_target(reply.url, stated)


def _range_end(reply: Reply) -> int | None:
    """How many bytes the registry says it has."""
    text = reply.headers.get("range")
    if text is None:
        return None
    start, dash, end = text.removeprefix("bytes=").partition("-")
    if start != "0" or not dash or not (end.isascii() and end.isdigit() and len(end) < 20):
        raise _wrong_range(reply, "0-END", text[:50])
    return int(end) + 1


def _lost(descriptor: Descriptor, found: str) -> MachineError:
    message = f"the registry loses the upload of {descriptor.digest}"
    return MachineError("oci.upload.lost", message, found=found, hint="try again later")


def _wrong_range(reply: Reply, expected: str, found: object) -> DataError:
    return DataError(
        "oci.upload.range",
        f"{reply.url.authority} has another part of the upload than it can have",
        expected=expected,
        found=f"{found}",
    )
