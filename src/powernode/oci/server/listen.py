# SPDX-License-Identifier: MIT
"""The registry on a socket: a thread for each connection, HTTP/1.1, TLS if there is a context.

Invariants: connections are bounded in number (one more waits a little, then it is closed) and each waits for its client
only so long; a request whose end two readers could find in two places is refused, so nothing can be hidden behind it
from a proxy; what a client still wants to send after its answer is not read to the end.

    with Listener(handler, ("127.0.0.1", 0)) as listener:
        listener.address                                    # "127.0.0.1:43210"
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, socket
from socketserver import TCPServer
from ssl import SSLSocket

from powernode.net.http import Headers
from powernode.oci.server.messages import Answer, FilePart, Incoming, RefusedError, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from io import BufferedIOBase
    from typing import BinaryIO, Protocol

    class Handles(Protocol):
        def handle(self, request: Incoming) -> Answer: ...

    class _Source(Protocol):
        def read1(self, size: int, /) -> bytes: ...
        def readline(self, size: int, /) -> bytes: ...

    Report = Callable[[str, str, int], None]


__all__ = ["Listener"]

MAX_CONNECTIONS = 64
_CLIENT_S = 60
_WAIT_S = 5
_DRAINED = 1 << 16
_PIECE = 1 << 18
_GATHERED = 1 << 14
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class Listener:
    """Listens from the start on; answers from `serve` or in the block. `report` is told method, target and status."""

    def __init__(
        self,
        handler: Handles,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        report: Report | None = None,
    ) -> None:
        self._server = _Server(address, handler, tls, report)
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        name = host if isinstance(host, str) else host.decode()
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def serve(self) -> None:
        """Until `stop`, from another thread, or an exception of a signal's."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Listener:
        self._thread = threading.Thread(target=self.serve, name="registry", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], handler: Handles, tls: ssl.SSLContext | None, report: Report | None
    ) -> None:
        if ":" in address[0]:
            self.address_family = AF_INET6
        self.handler = handler
        self.report = report
        self._tls = tls
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Connection)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's would look up the name of the machine

    def get_request(self) -> tuple[socket, object]:
        peer, address = super().get_request()
        if self._tls is not None:
            # The handshake is done by the connection's own thread, with its first read.
            peer.settimeout(_CLIENT_S)
            peer = self._tls.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
        return peer, address

    def process_request(self, request: object, client_address: object) -> None:
        if not self._free.acquire(timeout=_WAIT_S):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        try:
            super().process_request(request, client_address)  # type: ignore[arg-type]
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or speaks no TLS, is no event."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _CLIENT_S
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile = _Lines(self.rfile)  # type: ignore[assignment]

    def handle_any(self) -> None:
        try:
            body = self._body()
        except RefusedError as refused:
            self.close_connection = True
            self._reply(refused.answer)
            return
        request = Incoming(self.command, self.path, Headers(self.headers.items()), body)
        try:
            answer = self.server.handler.handle(request)
        except _GoneError:
            self.close_connection = True
            return
        if not body.drain(_DRAINED):
            self.close_connection = True
        self._reply(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def _body(self) -> _Body:
        if self.headers.defects:  # what comes after such a line is no header any more
            raise error(400, "UNSUPPORTED", "a line of the head cannot be read")
        lengths = set(self.headers.get_all("content-length", []))
        codings = [coding.strip().lower() for coding in self.headers.get_all("transfer-encoding", [])]
        if codings:
            if lengths or codings != ["chunked"] or self.request_version != "HTTP/1.1":
                raise error(400, "UNSUPPORTED", "a body that two readers could read differently")
            return _ChunkedBody(self.rfile)
        text = lengths.pop() if lengths else "0"
        if lengths or not (text.isascii() and text.isdigit() and len(text) < 19):
            raise error(400, "UNSUPPORTED", "the length of the body cannot be read")
        return _Body(self.rfile, int(text))

    def _reply(self, answer: Answer) -> None:
        self._send(answer)
        if self.server.report is not None:
            self.server.report(self.command, self.path, answer.status)

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(answer.length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if isinstance(answer.body, bytes):
            self.wfile.write(answer.body)
            return
        with answer.body.file as file:
            for piece in answer.body.pieces:
                if isinstance(piece, bytes):
                    self.wfile.write(piece)
                else:
                    self._send_part(file, piece)

    def _send_part(self, file: BinaryIO, part: FilePart) -> None:
        if not isinstance(self.connection, SSLSocket):
            if part.length:  # none would mean everything
                sent = self.connection.sendfile(file, part.start, part.length)
                if sent != part.length:
                    raise ConnectionError("the file is shorter than it was")
            return
        file.seek(part.start)
        left = part.length
        while left:
            data = file.read(min(left, _PIECE))
            if not data:
                raise ConnectionError("the file is shorter than it was")
            self.connection.sendall(data)
            left -= len(data)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()


class _Lines:
    """What a client sends. Its lines end with CR LF and hold no other CR, or other readers would see other lines."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self.read1 = file.read1
        self.close = file.close

    def readline(self, size: int, /) -> bytes:
        line = self._file.readline(size)
        if b"\r" in line.removesuffix(b"\r\n") or (line.endswith(b"\n") and not line.endswith(b"\r\n")):
            raise HTTPException("a line that does not end as it should")
        return line


class _GoneError(Exception):
    """The client went away in the middle of its body."""


class _Body:
    def __init__(self, source: _Source, length: int) -> None:
        self._source = source
        self._left = length
        self._is_broken = False

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self._left)
        data = self._take(wanted) if wanted else b""
        self._left -= len(data)
        return data

    def drain(self, most: int) -> bool:
        """Read a small rest, so that the connection can be used again; False if it is not small."""
        with suppress(_GoneError, RefusedError):
            while most > 0 and not self._is_broken:
                data = self.read(most)
                if not data:
                    return True
                most -= len(data)
        return False

    def _take(self, size: int) -> bytes:
        try:
            data = self._source.read1(size)
        except OSError as wrong:
            raise _GoneError from wrong
        if not data:
            raise _GoneError
        return data


class _ChunkedBody(_Body):
    """`_left` is what is left of the chunk."""

    def __init__(self, source: _Source) -> None:
        super().__init__(source, 0)
        self._started = False
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Small chunks are gathered; what came before a break is given before the break is told."""
        gathered = bytearray()
        while len(gathered) < min(size, _GATHERED):
            try:
                data = self._read_some(size - len(gathered))
            except _GoneError:
                if gathered:
                    break  # the next read meets it again
                raise
            if not data:
                break
            gathered += data
        return bytes(gathered)

    def _read_some(self, size: int) -> bytes:
        if not self._left and not self._ended and size:
            try:
                self._next_chunk()
            except RefusedError:
                self._is_broken = True  # nobody knows where the next request begins
                raise
        return super().read(size)

    def _next_chunk(self) -> None:
        if self._started and self._line() != b"":
            raise error(400, "UNSUPPORTED", "a chunk without its end")
        self._started = True
        size = _CHUNK_SIZE.fullmatch(self._line())
        if size is None:
            raise error(400, "UNSUPPORTED", "a chunk without a size")
        self._left = int(size[1], 16)
        if not self._left:
            self._ended = True
            for _ in range(32):
                if self._line() == b"":
                    return
            raise error(400, "UNSUPPORTED", "too many trailers")

    def _line(self) -> bytes:
        try:
            line = self._source.readline(1024)
        except OSError as wrong:
            raise _GoneError from wrong
        except HTTPException as wrong:
            raise error(400, "UNSUPPORTED", f"{wrong}") from wrong
        if not line.endswith(b"\r\n"):
            raise _GoneError
        return line.removesuffix(b"\r\n")
