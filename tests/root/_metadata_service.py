# SPDX-License-Identifier: MIT
"""A metadata service on 169.254.169.254 that answers as a test wants, and the network namespace where that is possible.

The namespace belongs to a thread and goes away with it: nothing has a name that could be left behind.

    def body() -> None:
        with serving(lambda handler: handler.reply(b"x")) as service: ...
    run_in_network(body)
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.namespaces import NETWORK, run_unshared

ADDRESS = ("169.254.169.254", 80)

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Notes what was asked and lets the test's function answer."""

    server: Service
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.close_connection = True
        with suppress(ConnectionError):  # the client has heard enough
            self.server.answer(self)

    do_PUT = do_GET  # noqa: N815 the name is http.server's

    def reply(self, body: bytes, status: int = 200, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class Service(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(ADDRESS, Handler)
        self.answer = answer
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.asked]


@contextmanager
def serving(answer: Answer) -> Iterator[Service]:
    service = Service(answer)
    thread = threading.Thread(target=service.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        thread.join()
        service.socket.close()  # server_close() would wait for handlers that are still talking


def _enter_network() -> None:
    for command in ("link set lo up", f"addr add {ADDRESS[0]}/32 dev lo"):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def run_in_network(body: Callable[[], None]) -> None:
    run_unshared(NETWORK, _enter_network, body)
