# SPDX-License-Identifier: MIT
"""Carries HTTP with the standard library: connections used again, TLS, a proxy, deadlines and limits.

Invariants: no redirect is followed and nothing is tried twice; nothing comes from the environment; certificates are
checked; an answer whose head is too large, or that is no HTTP, is refused.
Threads may share a transport. Refusals are net.unreachable, net.tls, net.certificate, net.proxy (setting up);
net.timeout, net.too-slow, net.lost (on the way); net.headers, net.protocol, net.too-large, net.truncated, net.encoding
(the answer).

Out of scope: HTTP/2; compression; how long a name server takes.

    transport = HttpTransport(time.monotonic, tls=lambda: tls_context(ca_file="ca.pem"))
    with transport.open(Request("GET", url, max_body=1 << 20)) as response: ...
    transport.traffic.received_bytes
"""

from __future__ import annotations

import http.client
import socket
from _thread import allocate_lock
from contextlib import contextmanager, suppress

from powernode.base.errors import DataError, MachineError, OperatorError, PowernodeError
from powernode.net._wire import Timing, Traffic, Wire
from powernode.net.http import Headers, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from powernode.net.http import Request, Url

__all__ = ["HttpTransport", "Timing", "Traffic", "tls_context"]

MAX_HEAD_BYTES = 64 << 10
_MAX_IDLE = 8
_PIECE = 1 << 17
_DRAINED = 1 << 16
"""A rest of a body this small is read, to use the connection again; with a larger one it is closed."""


def tls_context(
    *,
    ca_file: str | None = None,
    certificate_file: str | None = None,
    key_file: str | None = None,
) -> ssl.SSLContext:
    """Trusts the machine's authorities, or only those of `ca_file`; presents a certificate if one is given."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate_file is not None:
            context.load_cert_chain(certificate_file, key_file)
    except (OSError, ValueError) as error:
        name = ca_file if certificate_file is None else f"{ca_file or ''} {certificate_file} {key_file or ''}".strip()
        raise OperatorError("net.tls-files", f"cannot use {name}", found=str(error)[:200]) from error
    return context


class HttpTransport:
    """The port's implementation. `tls` is asked for a context when the first https address is."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        proxy: Url | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.traffic = Traffic()
        self._clock = clock
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._proxy = proxy
        self._timing = timing or Timing()
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}
        self._lock = allocate_lock()

    def open(self, request: Request) -> Response:
        with _refusals(request.url):
            connection = self._idle_connection(request.url) or self._connect(request.url)
            with self._lock:
                self.traffic.requests += 1
            try:
                answer = connection.exchange(request, self._target(request.url))
                connection.wire.expect_body()
                body = _Body(answer, connection, self._keep if not answer.will_close else None, request.url)
                return Response(request, answer.status, Headers(answer.getheaders()), body)
            except BaseException:
                connection.wire.hang_up()
                raise

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle = [connection for each in self._idle.values() for connection in each]
            self._idle.clear()
        for connection in idle:
            connection.wire.hang_up()

    def _idle_connection(self, url: Url) -> _Connection | None:
        while True:
            with self._lock:
                waiting = self._idle.get(url.origin)
                connection = waiting.pop() if waiting else None
            if connection is None or connection.wire.is_quiet():
                return connection
            connection.wire.hang_up()

    def _keep(self, connection: _Connection, url: Url) -> None:
        with self._lock:
            waiting = self._idle.setdefault(url.origin, [])
            if len(waiting) < _MAX_IDLE:
                waiting.append(connection)
                return
        connection.wire.hang_up()

    def _connect(self, url: Url) -> _Connection:
        via = self._proxy or url
        try:
            peer = socket.create_connection((via.host, via.port), timeout=self._timing.connect_s)
        except (OSError, UnicodeError) as error:
            found = getattr(error, "strerror", None) or str(error)
            refused = isinstance(error, ConnectionRefusedError)
            hint = "nothing listens there: start it, or look at the port" if refused else "look at name and network"
            raise MachineError(
                "net.unreachable", f"{via.authority} cannot be reached", found=found, hint=hint
            ) from error
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if url.scheme == "https":
                if self._proxy is not None:
                    self._tunnel(peer, url)
                peer = self._secure(peer, url)
        except BaseException:
            peer.close()
            raise
        with self._lock:
            self.traffic.connections += 1
        return _Connection(self._wire(peer))

    def _tunnel(self, peer: socket.socket, url: Url) -> None:
        wire = self._wire(peer)
        name = f"[{url.host}]" if ":" in url.host else url.host
        wire.sendall(f"CONNECT {name}:{url.port} HTTP/1.1\r\nHost: {name}:{url.port}\r\n\r\n".encode("ascii"))
        wire.expect_head(MAX_HEAD_BYTES)
        answer = http.client.HTTPResponse(wire, method="CONNECT")  # type: ignore[arg-type]
        answer.begin()
        if answer.status != 200 or not wire.is_quiet():
            raise MachineError("net.proxy", f"the proxy does not lead to {url.authority}", found=f"{answer.status}")

    def _secure(self, peer: socket.socket, url: Url) -> socket.socket:
        import ssl

        with self._lock:
            if self._tls is None:
                self._tls = self._make_tls()
        peer.settimeout(self._timing.connect_s)
        try:
            return self._tls.wrap_socket(peer, server_hostname=url.host)
        except ssl.SSLCertVerificationError as error:
            raise DataError(
                "net.certificate",
                f"the certificate of {url.authority} is not trusted",
                found=error.verify_message,
                hint="name the authority that issued it",
            ) from error
        except TimeoutError:
            raise
        except (ssl.SSLError, ConnectionError) as error:
            raise MachineError("net.tls", f"{url.authority} does not speak TLS with us", found=str(error)) from error

    def _wire(self, peer: socket.socket) -> Wire:
        return Wire(peer, self._timing, self._clock, self._count)

    def _count(self, sent: int, received: int) -> None:
        with self._lock:
            self.traffic.sent_bytes += sent
            self.traffic.received_bytes += received

    def _target(self, url: Url) -> str:
        return str(url) if self._proxy is not None and url.scheme == "http" else url.target


class _Connection:
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._http = http.client.HTTPConnection("unused")
        self._http.sock = wire

    def exchange(self, request: Request, target: str) -> http.client.HTTPResponse:
        sender = self._http
        sender.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        sender.putheader("Host", request.url.authority)
        sender.putheader("Accept-Encoding", "identity")
        for name, value in request.headers:
            sender.putheader(name, value)
        if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
            sender.putheader("Content-Length", str(request.body_size))
        # A server that refuses may close before it has read everything: its answer counts for more than that.
        broken: OSError | None = None
        try:
            sender.endheaders()
            self._send(request)
        except OSError as error:
            broken = error
        self.wire.expect_head(MAX_HEAD_BYTES)
        try:
            answer = sender.getresponse()
        except (OSError, http.client.HTTPException):
            if broken is not None:
                raise broken from None
            raise
        if broken is not None:
            answer.will_close = True
        return answer

    def _send(self, request: Request) -> None:
        if isinstance(request.body, bytes):
            self.wire.sendall(request.body)
        elif request.body is not None:
            content, left = request.body.open(), request.body.size
            try:
                while left:
                    piece = content.read(min(left, _PIECE))
                    if not piece:
                        raise DataError(
                            "net.content", "what is to be sent is shorter than it was", found=f"{left} less"
                        )
                    left -= len(piece)
                    self.wire.sendall(piece)
            finally:
                content.close()


class _Body:
    """The body as it comes; at its end the connection is free again."""

    def __init__(
        self,
        answer: http.client.HTTPResponse,
        connection: _Connection,
        keep: Callable[[_Connection, Url], None] | None,
        url: Url,
    ) -> None:
        self._answer = answer
        self._connection: _Connection | None = connection
        self._keep = keep
        self._url = url

    def read(self, size: int, /) -> bytes:
        if self._connection is None:
            return b""
        with _refusals(self._url):
            try:
                data = self._answer.read1(size)
                self._connection.wire.delivered(len(data))
                if len(data) > size:
                    raise http.client.HTTPException("a chunk of negative size")
                if self._answer.length == 0:
                    self._answer.close()
            except BaseException:
                self._drop()
                raise
        if not data and self._answer.length:
            self._drop()
            raise DataError("net.truncated", "the answer ends early", found=f"{self._answer.length} bytes missing")
        return data

    def close(self) -> None:
        if self._connection is None:
            return
        self._drain()
        if self._keep is None or not self._answer.isclosed():
            self._drop()
        elif self._connection is not None:
            self._keep(self._connection, self._url)
            self._connection = None

    def _drain(self) -> None:
        left = _DRAINED
        with suppress(PowernodeError):  # then it is dropped
            while self._keep is not None and left > 0 and not self._answer.isclosed():
                left -= len(self.read(left)) or left

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.wire.hang_up()
            self._connection = None
        with suppress(OSError):
            self._answer.close()


@contextmanager
def _refusals(url: Url) -> Iterator[None]:
    """What can go wrong on the way, in our words."""
    where = url.authority
    try:
        yield
    except PowernodeError:
        raise
    except TimeoutError as error:
        raise MachineError("net.timeout", f"{where} does not answer in time") from error
    except OSError as error:  # RemoteDisconnected is one, too
        found = error.strerror or str(error)
        raise MachineError("net.lost", f"the connection to {where} was lost", found=found) from error
    except http.client.IncompleteRead as error:
        raise DataError("net.truncated", f"the answer of {where} ends early") from error
    except http.client.HTTPException as error:
        large = isinstance(error, http.client.LineTooLong) or "headers" in str(error)
        code, what = ("net.headers", "has too large a head") if large else ("net.protocol", "is no HTTP")
        raise DataError(code, f"the answer of {where} {what}", found=type(error).__name__) from error
    except ValueError as error:
        raise DataError("net.protocol", f"the answer of {where} is no HTTP", found=type(error).__name__) from error
