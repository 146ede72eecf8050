# SPDX-License-Identifier: MIT
"""A wire with a meter: what really goes to a server and comes from it, headers and all.

with metered("127.0.0.1:5000") as wire:
    client(wire.address)
wire.received_bytes
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["Wire", "metered"]

_CHUNK = 1 << 16


@dataclass(slots=True, kw_only=True)
class Wire:
    address: str
    sent_bytes: int = 0
    """By the client."""
    received_bytes: int = 0
    """By the client."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        with self._lock:
            self.sent_bytes = self.received_bytes = 0

    def _count(self, size: int, *, up: bool) -> None:
        with self._lock:
            self.sent_bytes += size if up else 0
            self.received_bytes += 0 if up else size


@contextmanager
def metered(server: str) -> Iterator[Wire]:
    """Connections to the wire's address go on to `server` (`host:port`) as long as the block lasts."""
    host, _, port = server.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(address=f"127.0.0.1:{listener.getsockname()[1]}")
        threading.Thread(target=_accept, args=(listener, (host, int(port)), wire), daemon=True).start()
        try:
            yield wire
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # ends `accept`


def _accept(listener: socket.socket, server: tuple[str, int], wire: Wire) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            upstream = socket.create_connection(server, timeout=10)
            upstream.settimeout(None)
            for end in (client, upstream):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else every answer waits for an ACK
            for pair, up in (((client, upstream), True), ((upstream, client), False)):
                threading.Thread(target=_pump, args=(*pair, wire), kwargs={"up": up}, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, wire: Wire, *, up: bool) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            wire._count(len(data), up=up)
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
