# SPDX-License-Identifier: MIT
"""A connected socket under watch, in the shape http.client expects of one.

Invariants: the head of an answer comes within its deadline and its size; while a body moves, every window of waiting
brings at least the least rate times the window, so a peer that drips is given up however patiently it drips, and one
that says nothing for a whole window is a lost connection. Only time spent waiting for the peer counts; a slow consumer
harms nobody. What comes over the wire stays in proportion to what it delivers, so chunk lines and trailers cannot be
endless either.
"""

from __future__ import annotations

import io
import select
import socket

from powernode.base.errors import DataError, MachineError
from powernode.base.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_BUFFER = 1 << 14
_PIECE = 1 << 16
_FRAMING = 1 << 18
_CHUNKED_FACTOR = 8  # one byte a chunk is six bytes on the wire


class Timing(Value):
    """How long to wait for what, in seconds, and the least rate in bytes a second while a body moves."""

    __slots__ = ("answer_s", "connect_s", "least_rate", "window_s")

    def __init__(
        self, *, connect_s: float = 10, answer_s: float = 60, window_s: float = 15, least_rate: int = 1024
    ) -> None:
        self.connect_s = connect_s
        self.answer_s = answer_s
        self.window_s = window_s
        self.least_rate = least_rate


class Traffic:
    """What went over the wire, heads included, inside TLS."""

    __slots__ = ("connections", "received_bytes", "requests", "sent_bytes")

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.received_bytes = 0
        self.sent_bytes = 0


class Wire:
    """One connection. http.client closes its socket before the body is read, so `close` does nothing; see `hang_up`."""

    def __init__(
        self, peer: socket.socket, timing: Timing, clock: Callable[[], float], count: Callable[[int, int], None]
    ) -> None:
        self.peer = peer
        self._timing = timing
        self._clock = clock
        self._count = count
        self._deadline: float | None = None
        self._allowance = self._most = 0
        self._waited = 0.0
        self._moved = 0
        self._stream = _Stream(_Receiver(self), _BUFFER)

    def expect_head(self, most: int) -> None:
        """From now on the head of an answer: as a whole within the deadline and `most` bytes."""
        self._deadline = self._clock() + self._timing.answer_s
        self._allowance = self._most = most + _BUFFER
        self._waited, self._moved = 0.0, 0

    def expect_body(self) -> None:
        """From now on a body; what has been read of it is told to `delivered`."""
        self._deadline = None
        self._allowance = _FRAMING

    def delivered(self, size: int) -> None:
        self._allowance += size * _CHUNKED_FACTOR

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self.peer.settimeout(self._timing.window_s)
            before = self._clock()
            try:
                sent = self.peer.send(view[:_PIECE])
            except TimeoutError:
                raise self._silent(self._timing.window_s) from None
            view = view[sent:]
            self._count(sent, 0)
            self._pace(self._clock() - before, sent)

    def receive(self, buffer: Buffer) -> int:
        if self._allowance <= 0:
            code, what = ("net.headers", "head") if self._deadline is not None else ("net.protocol", "framing")
            raise DataError(code, f"the {what} of the answer is too large")
        before = self._clock()
        left = self._timing.window_s if self._deadline is None else self._deadline - before
        if left <= 0:
            raise self._late()
        self.peer.settimeout(left)
        try:
            size = self.peer.recv_into(buffer)
        except TimeoutError:
            raise (self._silent(left) if self._deadline is None else self._late()) from None
        if not size and self._deadline is not None and self._allowance < self._most:
            raise DataError("net.truncated", "the head of the answer ends early")  # http.client would not mind
        self._allowance -= size
        self._count(0, size)
        if self._deadline is None:
            self._pace(self._clock() - before, size)
        return size

    def makefile(self, mode: str) -> io.BufferedReader:
        return self._stream

    def close(self) -> None:
        pass

    def hang_up(self) -> None:
        self.peer.close()

    def is_quiet(self) -> bool:
        """Whether it can carry another request: the peer has neither closed it nor said what nobody asked for."""
        self._stream.raw.muted = True
        try:
            if self._stream.peek(1):
                return False
        finally:
            self._stream.raw.muted = False
        if getattr(self.peer, "pending", int)():  # of TLS: decrypted and not fetched
            return False
        poll = select.poll()
        poll.register(self.peer, select.POLLIN)
        return not poll.poll(0)

    def _pace(self, waited: float, moved: int) -> None:
        self._waited += waited
        self._moved += moved
        if self._waited >= self._timing.window_s:
            if self._moved < self._timing.least_rate * self._timing.window_s:
                raise self._too_slow()
            self._waited, self._moved = 0.0, 0

    def _too_slow(self) -> MachineError:
        return MachineError(
            "net.too-slow",
            "the other side is too slow",
            expected=f"at least {self._timing.least_rate} bytes a second",
            found=f"{self._moved} bytes in {self._timing.window_s:g} s",
        )

    def _late(self) -> MachineError:
        """No head within its deadline. Who sent a part of it drips: asked again, it would take as long again."""
        if self._allowance == self._most:
            return self._silent(self._timing.answer_s)
        found = f"{self._most - self._allowance} bytes of it"
        return MachineError("net.too-slow", f"the head of the answer took {self._timing.answer_s:g} s", found=found)

    def _silent(self, seconds: float) -> MachineError:
        """Unlike one that drips, a peer that fell silent may only have lost its way here: another try may help."""
        return MachineError("net.timeout", f"the other side was silent for {seconds:g} s")


class _Receiver(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.muted = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        return 0 if self.muted else self._wire.receive(buffer)


class _Stream(io.BufferedReader):
    """Stays open when a response is finished: the next one begins where it ended."""

    raw: _Receiver

    def close(self) -> None:
        pass

    def flush(self) -> None:
        """Responses flush what they read from, also when they are collected long after the socket was closed."""
