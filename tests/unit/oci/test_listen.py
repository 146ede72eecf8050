# SPDX-License-Identifier: MIT
"""The registry on a socket: our client through a real connection, and clients that misbehave."""

from __future__ import annotations

import email
import http.client
import io
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode.net.transport import HttpTransport, tls_context
from powernode.oci.client import FileSource
from powernode.oci.documents import EMPTY, EMPTY_CONFIG, IMAGE_MANIFEST, Manifest, describe
from powernode.oci.server.listen import _GATHERED, MAX_CONNECTIONS, Listener, _ChunkedBody, _GoneError, _Lines
from support.registry import client, handler, listening

DATA = bytes(range(256)) * 10_000
BLOB = describe(DATA, "application/x")
MANIFEST = Manifest(config=describe(EMPTY, EMPTY_CONFIG), layers=(BLOB,)).encode()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with listening(tmp_path) as address:
        yield address


def say(address: str, text: bytes, *, answers: int = 1) -> list[bytes]:
    """The status lines of the answers to these bytes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer, peer.makefile("rb") as lines:
        peer.sendall(text)
        found = []
        for _ in range(answers):
            found.append(lines.readline().rstrip())
            length = 0
            while (line := lines.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            lines.read(length)
        return found


def test_there_and_back(address: str) -> None:
    transport = HttpTransport(time.monotonic)
    registry = client(transport, f"{address}/acme/redis", chunk_bytes=1_000_000)
    registry.push_blob(describe(EMPTY, EMPTY_CONFIG), EMPTY)
    registry.push_blob(BLOB, FileSource(lambda: io.BytesIO(DATA)))
    registry.push_manifest(MANIFEST, IMAGE_MANIFEST, tag="v1")
    sink = io.BytesIO()
    registry.fetch_blob(BLOB, sink)
    assert sink.getvalue() == DATA
    assert registry.read_range(BLOB, 100, 200_000) == DATA[100:200_100]
    assert registry.manifest("v1").data == MANIFEST
    assert registry.has_blob(BLOB)
    assert transport.traffic.connections == 1
    assert transport.traffic.sent_bytes < len(DATA) + 20_000


def test_many_at_once(address: str) -> None:
    transport = HttpTransport(time.monotonic)
    registry = client(transport, f"{address}/acme/redis")
    contents = [bytes([number]) * 200_000 for number in range(16)]
    done: list[bool] = []

    def push(data: bytes) -> None:
        registry.push_blob(describe(data, "a/b"), data)
        done.append(registry.has_blob(describe(data, "a/b")))

    threads = [threading.Thread(target=push, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 16


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """For 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_tls(tmp_path: Path, certificate: tuple[str, str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Listener(handler(tmp_path / "registry"), ("127.0.0.1", 0), tls=context) as listener:
        transport = HttpTransport(time.monotonic, tls=lambda: tls_context(ca_file=certificate[0]))
        registry = client(transport, f"{listener.address}/a")
        registry._session.base = registry._session.base.parse(f"https://{listener.address}/")
        registry.push_blob(BLOB, DATA)
        sink = io.BytesIO()
        registry.fetch_blob(BLOB, sink)
        assert sink.getvalue() == DATA
        assert say(listener.address, b"GET /v2/ HTTP/1.1\r\n\r\n") == [b""]  # no TLS: no answer, and no harm
        assert registry.has_blob(BLOB)


@pytest.mark.parametrize("is_tls", [False, True])
def test_several_ranges(tmp_path: Path, certificate: tuple[str, str], is_tls: bool) -> None:
    """Each part streams from the file, and the connection can be used again."""
    server, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=certificate[0])
    server.load_cert_chain(*certificate)
    with Listener(handler(tmp_path / "registry"), ("127.0.0.1", 0), tls=server if is_tls else None) as listener:
        host, _, port = listener.address.rpartition(":")
        plain = http.client.HTTPConnection(host, int(port), timeout=5)
        peer = http.client.HTTPSConnection(host, int(port), timeout=5, context=ours) if is_tls else plain
        peer.request("POST", f"/v2/a/blobs/uploads/?digest={BLOB.digest}", DATA)
        with peer.getresponse() as stored:
            stored.read()
        for _ in range(2):
            peer.request("GET", f"/v2/a/blobs/{BLOB.digest}", headers={"Range": "bytes=1-1,300-1000299,-7"})
            with peer.getresponse() as answer:
                head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n"
                assert answer.status == 206
                message = email.message_from_bytes(head.encode() + answer.read())
            parts = [part.get_payload(decode=True) for part in message.walk()][1:]
            assert parts == [DATA[1:2], DATA[300:1000300], DATA[-7:]]
        peer.close()


def test_chunks(address: str) -> None:
    digest = describe(b"hello, world", "a/b").digest
    head = f"POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nX: y\r\n\r\n"
    again = b"GET /v2/ HTTP/1.1\r\n\r\n"
    assert say(address, head + body + again, answers=2) == [b"HTTP/1.1 201 Created", b"HTTP/1.1 200 OK"]


def test_small_chunks_are_gathered() -> None:
    """Or each byte of a manifest would be a piece of its own, and each byte of a blob a write."""
    many = 20_000
    body = _ChunkedBody(_Lines(io.BufferedReader(io.BytesIO(b"1\r\nx\r\n" * many))))  # and then it breaks off
    sizes = [len(body.read(1 << 20)), len(body.read(1 << 20))]
    assert sizes == [_GATHERED, many - _GATHERED]
    with pytest.raises(_GoneError):
        body.read(1 << 20)


def test_a_large_chunk_is_not_waited_for() -> None:
    text = b"10000\r\n" + b"x" * (1 << 16) + b"\r\n5\r\nhello\r\n0\r\n\r\n"
    body = _ChunkedBody(_Lines(io.BufferedReader(io.BytesIO(text), 1 << 20)))
    assert [len(body.read(1 << 17)) for _ in range(3)] == [1 << 16, 5, 0]


POST = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "text",
    {
        "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "a length and chunks": POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "a negative length": POST + b"Content-Length: -1\r\n\r\n",
        "a line that is no header": POST + b"X : y\r\nContent-Length: 1\r\n\r\nx",
        "a line that ends with CR": POST + b"X: y\rContent-Length: 1\r\n\r\nx",
        "a line that ends with LF": POST + b"X: y\nContent-Length: 1\r\n\r\nx",
        "chunks in an old protocol": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "endless head": b"GET /v2/ HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        "a long line": b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        "another method": b"BREW /v2/ HTTP/1.1\r\n\r\n",
    }.values(),
)
def test_requests_that_are_refused(address: str, text: bytes) -> None:
    (status,) = say(address, text)
    assert status.split(b" ")[1][:1] in (b"4", b"5")
    assert say(address, b"GET /v2/ HTTP/1.1\r\n\r\n") == [b"HTTP/1.1 200 OK"]


def test_what_is_refused_is_listed_too(tmp_path: Path) -> None:
    told: list[tuple[str, str, int]] = []
    with Listener(handler(tmp_path), ("127.0.0.1", 0), report=lambda *each: told.append(each)) as listener:
        say(listener.address, POST + b"Content-Length: x\r\n\r\n")
        say(listener.address, b"GET /v2/ HTTP/1.1\r\n\r\n")
        deadline = time.monotonic() + 30
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    # Each connection has its own thread, which tells after it has answered.
    assert sorted(told) == [("GET", "/v2/", 200), ("POST", "/v2/a/blobs/uploads/", 400)]


@pytest.mark.parametrize(
    "chunk",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"5\r\nhelloworld\r\n",
        b"fffffffffffffffff\r\n",
        b"0x1\r\nx\r\n0\r\n\r\n",
        b"1\nx\r\n0\r\n\r\n",
        b"1;\rx\r\nx\r\n0\r\n\r\n",
        b"1\r\nx\n0\r\n\r\n",
    ],
)
def test_chunks_that_are_refused(address: str, chunk: bytes) -> None:
    digest = describe(b"x", "a/b").digest
    head = f"POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert say(address, head + chunk) == [b"HTTP/1.1 400 Bad Request"]


def test_a_client_that_goes_away_can_come_back(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as peer, peer.makefile("rb") as lines:
        peer.sendall(POST + b"\r\n")
        place = next(line for line in lines if line.lower().startswith(b"location:")).split(b" ")[1].strip()
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall(b"PATCH " + place + b" HTTP/1.1\r\nContent-Length: 100\r\n\r\nhello")
    deadline = time.monotonic() + 30
    digest = describe(b"hello!", "a/b").digest.encode()
    while True:
        (status,) = say(
            address,
            b"PUT " + place + b"?digest=" + digest + b" HTTP/1.1\r\nContent-Range: 5-5\r\nContent-Length: 1\r\n\r\n!",
        )
        if status.endswith(b"Created"):
            break
        assert time.monotonic() < deadline, status
        time.sleep(0.02)


def test_connections_are_bounded(address: str) -> None:
    host, _, port = address.rpartition(":")
    before = threading.active_count()
    idle = [socket.create_connection((host, int(port))) for _ in range(MAX_CONNECTIONS + 20)]
    time.sleep(0.2)
    assert threading.active_count() - before <= MAX_CONNECTIONS
    for peer in idle:
        peer.close()
    assert say(address, b"GET /v2/ HTTP/1.1\r\n\r\n") == [b"HTTP/1.1 200 OK"]
