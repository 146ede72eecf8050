# SPDX-License-Identifier: MIT
"""The transport against real sockets: what a good server gives, and everything a bad one may try."""

from __future__ import annotations

import io
import itertools
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.net.http import Request, Url
from powernode.net.transport import HttpTransport, Timing, tls_context
from unit.net.conftest import Script, Server

Serve = Callable[..., Server]
QUICK = Timing(connect_s=1, answer_s=0.3, window_s=0.2, least_rate=1000)
"""Only for servers that are too slow: a machine may be slow, too."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def transport(timing: Timing | None = None) -> HttpTransport:
    return HttpTransport(time.monotonic, timing=timing)


def get(server: Server, timing: Timing | None = None) -> bytes:
    with transport(timing).open(Request("GET", server.url, max_body=1 << 16)) as response:
        return response.read_all()


def answering(answer: bytes, *, stay: bool = True) -> Script:
    """Every request on the connection gets this answer."""

    def script(peer: socket.socket) -> None:
        while True:
            _skip_head(peer)
            peer.sendall(answer)
            if not stay:
                return

    return script


def _skip_head(peer: socket.socket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = peer.recv(1)
        if not piece:
            raise ConnectionError
        head += piece


def test_an_answer(serve: Serve) -> None:
    server: Server = serve(lambda peer: (server.head(peer), peer.sendall(OK))[1])
    client = transport()
    headers = [("Accept", "a/b")]
    with client.open(Request("GET", server.url, headers=headers, max_body=10)) as response:
        assert (response.status, response.headers.get("CONTENT-LENGTH"), response.read_all()) == (200, "2", b"hi")
    host = f"Host: {server.url.authority}"
    assert server.heads == [
        f"GET /path?q=1 HTTP/1.1\r\n{host}\r\nAccept-Encoding: identity\r\nAccept: a/b\r\n\r\n".encode()
    ]
    traffic = client.traffic
    assert (traffic.requests, traffic.connections) == (1, 1)
    assert (traffic.sent_bytes, traffic.received_bytes) == (len(server.heads[0]), len(OK))


def test_a_connection_is_used_again(serve: Serve) -> None:
    server = serve(answering(OK))
    client = transport()
    for read in (True, False, True):
        with client.open(Request("GET", server.url, max_body=10)) as response:
            assert not read or response.read_all() == b"hi"
    assert (server.connections, client.traffic.requests) == (1, 3)
    client.close()


@pytest.mark.parametrize(
    "answer",
    [OK.replace(b"2\r", b"2\r\nConnection: close\r"), OK + b"more", OK.replace(b"1.1", b"1.0")],
    ids=["asked to close", "said more than asked", "old protocol"],
)
def test_a_connection_is_not_used_again(serve: Serve, answer: bytes) -> None:
    server = serve(answering(answer))
    client = transport()
    for _ in range(2):
        with client.open(Request("GET", server.url, max_body=10)) as response:
            assert response.read_all() == b"hi"
    assert server.connections == 2


def test_a_connection_that_was_closed_meanwhile(serve: Serve) -> None:
    server = serve(answering(OK, stay=False))
    client = transport()
    for _ in range(2):
        with client.open(Request("GET", server.url, max_body=10)) as response:
            assert response.read_all() == b"hi"
        time.sleep(0.05)
    assert server.connections == 2


def test_a_long_rest_is_not_read(serve: Serve) -> None:
    server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000))
    client = transport()
    with client.open(Request("GET", server.url, max_body=10_000_000)) as response:
        assert response.read(1) == b"x"
    assert client.traffic.received_bytes < 2_000_000


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_bodies_are_sent(serve: Serve, size: int) -> None:
    received = bytearray()

    def script(peer: socket.socket) -> None:
        head = server.head(peer)
        length = int(head.split(b"Content-Length: ")[1].split(b"\r")[0])
        while len(received) < length:
            received.extend(peer.recv(65536))
        peer.sendall(OK)

    class File:
        def __init__(self, data: bytes) -> None:
            self.data = data
            self.size = len(data)

        def open(self) -> io.BytesIO:
            return io.BytesIO(self.data)

    server = serve(script)
    data = bytes(range(256)) * (size // 256 + 1)
    for body in (data[:size], File(data[:size])):
        received.clear()
        with transport().open(Request("PUT", server.url, body=body, max_body=10)) as response:
            assert response.status == 200
        assert bytes(received) == data[:size]


def test_a_file_that_became_shorter(serve: Serve) -> None:
    class Shrunk:
        size = 10

        def open(self) -> io.BytesIO:
            return io.BytesIO(b"short")

    server = serve(answering(OK))
    with pytest.raises(PowernodeError) as caught:
        transport().open(Request("PUT", server.url, body=Shrunk(), max_body=10))
    assert caught.value.code == "net.content"


def test_an_answer_that_does_not_wait_for_the_body(serve: Serve) -> None:
    def script(peer: socket.socket) -> None:
        _skip_head(peer)
        peer.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        time.sleep(0.05)

    server = serve(script)
    with transport().open(Request("PUT", server.url, body=b"x" * (8 << 20), max_body=10)) as response:
        assert response.status == 413


def test_chunks(serve: Serve) -> None:
    server = serve(
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\nt: u\r\n\r\n")
    )
    client = transport()
    for _ in range(2):
        with client.open(Request("GET", server.url, max_body=2)) as response:
            assert response.read_all() == b"hi"
    assert server.connections == 1


def _drip(data: bytes, pause: float) -> Script:
    def script(peer: socket.socket) -> None:
        _skip_head(peer)
        for byte in itertools.cycle(data):
            peer.sendall(bytes([byte]))
            time.sleep(pause)

    return script


def _drip_body(peer: socket.socket) -> None:
    _skip_head(peer)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    while True:
        peer.sendall(b"x")
        time.sleep(0.02)


def _endless(head: bytes, part: bytes) -> Script:
    def script(peer: socket.socket) -> None:
        _skip_head(peer)
        peer.sendall(head)
        while True:
            peer.sendall(part)

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BAD: dict[str, tuple[Script, str]] = {
    "says nothing": (lambda peer: time.sleep(1), "net.timeout"),
    "drips its head": (_drip(HEAD, 0.01), "net.too-slow"),
    "drips its body": (_drip_body, "net.too-slow"),
    "stops in its body": (_endless(HEAD + b"Content-Length: 9\r\n\r\n", b""), "net.timeout"),
    "hangs up at once": (lambda peer: None, "net.lost"),
    "hangs up before it answers": (_skip_head, "net.lost"),
    "hangs up in its head": (answering(HEAD, stay=False), "net.truncated"),
    "hangs up in its body": (answering(HEAD + b"Content-Length: 9\r\n\r\nx", stay=False), "net.truncated"),
    "hangs up in a chunk": (answering(CHUNKED + b"5\r\nx", stay=False), "net.truncated"),
    "speaks something else": (answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "net.protocol"),
    "status no number": (answering(b"HTTP/1.1 OK\r\n\r\n"), "net.protocol"),
    "endless status": (_endless(b"", b"x" * 1000), "net.headers"),
    "endless header": (_endless(HEAD + b"a: ", b"x" * 1000), "net.headers"),
    "endless headers": (_endless(HEAD, b"a: b\r\n" * 50), "net.headers"),
    "endless large headers": (_endless(HEAD, b"a: " + b"b" * 60000 + b"\r\n"), "net.headers"),
    "endless interim answers": (_endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "net.headers"),
    "endless body": (_endless(HEAD + b"\r\n", b"x" * 100_000), "net.too-large"),
    "endless chunks": (_endless(CHUNKED, b"5\r\nhello\r\n" * 1000), "net.too-large"),
    "endless trailer": (_endless(CHUNKED + b"0\r\n", b"a: b\r\n" * 100), "net.protocol"),
    "endless chunk line": (_endless(CHUNKED, b"0" * 1000), "net.headers"),
    "endless chunk extensions": (_endless(CHUNKED, b"1;" + b"x" * 60000 + b"\r\nx\r\n"), "net.protocol"),
    "chunk of negative size": (_endless(CHUNKED, b"-5\r\nhello\r\n"), "net.protocol"),
    "chunk size no number": (answering(CHUNKED + b"zz\r\n"), "net.truncated"),
    "announces too much": (answering(HEAD + b"Content-Length: 2000000\r\n\r\n"), "net.too-large"),
    "two lengths": (answering(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi"), "net.protocol"),
    "length no number": (answering(HEAD + b"Content-Length: abc\r\n\r\nhi"), "net.protocol"),
    "negative length": (answering(HEAD + b"Content-Length: -1\r\n\r\nhi"), "net.protocol"),
    "compressed": (answering(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"), "net.encoding"),
}  # fmt: skip


@pytest.mark.parametrize("defect", BAD)
def test_a_bad_server_is_given_up(serve: Serve, defect: str) -> None:
    script, code = BAD[defect]
    server = serve(script)
    before = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(PowernodeError) as caught:
            get(server, QUICK if code in ("net.timeout", "net.too-slow") else None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == code
    assert time.monotonic() - before < 10
    assert peak < 4 << 20


def test_a_server_that_does_not_take_the_body(serve: Serve) -> None:
    def script(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while peer.recv(1):
            time.sleep(0.05)

    server = serve(script)
    with pytest.raises(PowernodeError) as caught:
        transport(QUICK).open(Request("PUT", server.url, body=b"x" * (32 << 20), max_body=10))
    assert caught.value.code == "net.timeout"


def test_a_slow_consumer_is_nobodys_fault(serve: Serve) -> None:
    server = serve(answering(HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 900_000))
    client = transport(Timing(window_s=0.4, least_rate=10_000_000))
    with client.open(Request("GET", server.url, max_body=1 << 20)) as response:
        size = 0
        while piece := response.read(100_000):
            size += len(piece)
            time.sleep(0.06)
    assert size == 900_000


def test_a_steady_server_may_take_longer_than_a_window(serve: Serve) -> None:
    def script(peer: socket.socket) -> None:
        _skip_head(peer)
        peer.sendall(HEAD + b"Content-Length: 60000\r\n\r\n")
        for _ in range(30):
            time.sleep(0.02)
            peer.sendall(b"x" * 2000)

    assert len(get(serve(script), Timing(window_s=0.4, least_rate=1000))) == 60_000


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PowernodeError) as caught:
        transport().open(Request("GET", Url.parse(f"http://127.0.0.1:{port}/"), max_body=1))
    assert caught.value.code == "net.unreachable"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb"])
def test_headers_cannot_be_smuggled_in(serve: Serve, value: str) -> None:
    server = serve(answering(OK))
    with pytest.raises(PowernodeError):
        transport().open(Request("GET", server.url, headers=[("A", value)], max_body=1))


def test_through_a_proxy(serve: Serve) -> None:
    server: Server = serve(lambda peer: (server.head(peer), peer.sendall(OK))[1])
    client = HttpTransport(time.monotonic, proxy=server.url)
    with client.open(Request("GET", Url.parse("http://registry.example/v2/"), max_body=2)) as response:
        assert response.read_all() == b"hi"
    assert server.heads[0].startswith(b"GET http://registry.example/v2/ HTTP/1.1\r\nHost: registry.example\r\n")


def test_a_proxy_that_refuses(serve: Serve) -> None:
    server = serve(answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
    client = HttpTransport(time.monotonic, proxy=server.url)
    with pytest.raises(PowernodeError) as caught:
        client.open(Request("GET", Url.parse("https://registry.example/v2/"), max_body=2))
    assert caught.value.code == "net.proxy"


class TestTls:
    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[str, str]:
        folder = tmp_path
        certificate, key = folder / "cert.pem", folder / "key.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
        names = "subjectAltName=IP:127.0.0.1"
        arguments = [*command.split(), "-addext", names, "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(arguments, check=True, capture_output=True)
        return str(certificate), str(key)

    @pytest.fixture
    def server(self, serve: Serve, files: tuple[str, str]) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        context.load_verify_locations(files[0])
        context.verify_mode = ssl.CERT_OPTIONAL
        self.presented: list[object] = []

        def script(peer: socket.socket) -> None:
            with context.wrap_socket(peer, server_side=True) as secure:
                self.presented.append(secure.getpeercert())
                answering(OK)(secure)

        server = serve(script)
        server.url = Url.parse(str(server.url).replace("http:", "https:"))
        return server

    def test_with_the_authority(self, server: Server, files: tuple[str, str]) -> None:
        client = HttpTransport(time.monotonic, tls=lambda: tls_context(ca_file=files[0]))
        for _ in range(3):
            with client.open(Request("GET", server.url, max_body=2)) as response:
                assert response.read_all() == b"hi"
        assert server.connections == 1
        assert self.presented == [None]

    def test_with_a_certificate_of_our_own(self, server: Server, files: tuple[str, str]) -> None:
        def context() -> ssl.SSLContext:
            return tls_context(ca_file=files[0], certificate_file=files[0], key_file=files[1])

        with HttpTransport(time.monotonic, tls=context).open(Request("GET", server.url, max_body=2)) as response:
            assert response.read_all() == b"hi"
        assert self.presented[0]

    def test_through_a_proxy(self, serve: Serve, server: Server, files: tuple[str, str]) -> None:
        def tunnel(peer: socket.socket) -> None:
            assert proxy.head(peer).startswith(f"CONNECT 127.0.0.1:{server.url.port} HTTP/1.1\r\n".encode())
            with socket.create_connection((server.url.host, server.url.port)) as other:
                peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(target=_copy, args=(other, peer), daemon=True).start()
                _copy(peer, other)

        proxy = serve(tunnel)
        client = HttpTransport(time.monotonic, tls=lambda: tls_context(ca_file=files[0]), proxy=proxy.url)
        with client.open(Request("GET", server.url, max_body=2)) as response:
            assert response.read_all() == b"hi"

    def test_a_stranger(self, server: Server) -> None:
        with pytest.raises(PowernodeError) as caught:
            transport().open(Request("GET", server.url, max_body=2))
        assert caught.value.code == "net.certificate"

    def test_a_name_that_is_not_in_the_certificate(self, server: Server, files: tuple[str, str]) -> None:
        url = Url.parse(str(server.url).replace("127.0.0.1", "localhost"))
        client = HttpTransport(time.monotonic, tls=lambda: tls_context(ca_file=files[0]))
        with pytest.raises(PowernodeError) as caught:
            client.open(Request("GET", url, max_body=2))
        assert caught.value.code == "net.certificate"

    def test_no_tls_there(self, serve: Serve) -> None:
        server = serve(answering(OK))
        url = Url.parse(str(server.url).replace("http:", "https:"))
        with pytest.raises(PowernodeError) as caught:
            transport(QUICK).open(Request("GET", url, max_body=2))
        assert caught.value.code in ("net.tls", "net.timeout")

    def test_files_that_are_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(PowernodeError) as caught:
            tls_context(ca_file=str(tmp_path / "none"))
        assert caught.value.code == "net.tls-files"


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
