# SPDX-License-Identifier: MIT
"""A server that does with every connection what the test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from powernode.net.http import Url

Script = Callable[[socket.socket], None]


class Server:
    """Each new connection gets the next script; the last one serves all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.heads: list[bytes] = []
        self.url = Url.parse(f"http://127.0.0.1:{self._listener.getsockname()[1]}/path?q=1")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            threading.Thread(target=self._run, args=(peer, script), daemon=True).start()

    def _run(self, peer: socket.socket, script: Script) -> None:
        with peer, suppress(OSError):  # the client gave up, as it should
            script(peer)

    def head(self, peer: socket.socket) -> bytes:
        """Read one request's head."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = peer.recv(1)
            if not piece:
                raise ConnectionError
            head += piece
        self.heads.append(head)
        return head

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*scripts: Script) -> Server:
        servers.append(Server(*scripts))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
