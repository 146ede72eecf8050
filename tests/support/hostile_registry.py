# SPDX-License-Identifier: MIT
"""A registry that means harm: the other party of the client, behind the Transport port or on a socket.

It has one small artifact (an index `v1`, a manifest, a configuration and a layer) and answers honestly, but for what
its attack changes. An attack is a function of the request that gives a Raw answer, or None for the honest one. Bodies
are iterators of pieces: they may never end, and a float among them is a pause (on the socket; the port has no time).

    hostile = Hostile(ATTACKS["endless manifest"])
    client(hostile).find("v1")                                    # the port
    with hostile.listening() as address: …                        # the same on a socket
    hostile.seen                                                  # method, address and headers of every request
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from powernode.net.http import Headers, Request, Response
from powernode.oci.documents import (
    EMPTY,
    EMPTY_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    LAYER_ZSTD,
    Index,
    Manifest,
    describe,
)

__all__ = ["ATTACKS", "INDEX", "LAYER", "LAYER_DATA", "MANIFEST", "Asked", "Hostile", "Raw"]

LAYER_DATA = bytes(range(256)) * 1024
LAYER = describe(LAYER_DATA, LAYER_ZSTD)
_CONFIG = describe(EMPTY, EMPTY_CONFIG)
_MANIFEST_DATA = Manifest(config=_CONFIG, layers=(LAYER,), artifact_type="a/b").encode()
MANIFEST = describe(_MANIFEST_DATA, IMAGE_MANIFEST)
_INDEX_DATA = Index(manifests=(MANIFEST,)).encode()
INDEX = describe(_INDEX_DATA, IMAGE_INDEX)
_OTHER_INDEX = Index(manifests=(MANIFEST,), annotations={"other": "yes"}).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as the registry sees it; header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return "/" + self.url.split("/", 3)[3]


@dataclass(frozen=True, slots=True)
class Raw:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: Iterable[bytes | float] = ()


Attack = Callable[[Asked], "Raw | None"]


def _whole(data: bytes, media_type: str, status: int = 200, *headers: tuple[str, str]) -> Raw:
    return Raw(status, [("Content-Type", media_type), ("Content-Length", str(len(data))), *headers], [data])


_CONTENTS = {
    "/manifests/v1": (_INDEX_DATA, IMAGE_INDEX),
    f"/manifests/{INDEX.digest}": (_INDEX_DATA, IMAGE_INDEX),
    f"/manifests/{MANIFEST.digest}": (_MANIFEST_DATA, IMAGE_MANIFEST),
    f"/blobs/{LAYER.digest}": (LAYER_DATA, "application/octet-stream"),
    f"/blobs/{_CONFIG.digest}": (EMPTY, "application/octet-stream"),
}


def honest(asked: Asked) -> Raw:
    for path, (data, media_type) in _CONTENTS.items():
        if asked.path.endswith(path):
            span = asked.headers.get("range")
            if span is None:
                return _whole(data, media_type)
            first, _, last = span.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1]
            return _whole(part, media_type, 206, ("Content-Range", f"bytes {first}-{last}/{len(data)}"))
    return _whole(b"{}", "application/json", 404)


class Hostile:
    """`seen` is what was asked, `slept` how long the client was made to wait."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack
        self.seen: list[Asked] = []

    def answer(self, asked: Asked) -> Raw:
        self.seen.append(asked)
        return self._attack(asked) or honest(asked)

    def open(self, request: Request) -> Response:
        """The Transport port."""
        headers = {name.lower(): value for name, value in request.headers}
        raw = self.answer(Asked(method=request.method, url=str(request.url), headers=headers))
        return Response(request, raw.status, Headers(raw.headers), _Pieces(raw.pieces))

    @contextmanager
    def listening(self) -> Iterator[str]:
        """On a free port: its `host:port`."""
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        threading.Thread(target=self._accept, args=(listener, address), daemon=True).start()
        try:
            yield address
        finally:
            listener.close()

    def _accept(self, listener: socket.socket, address: str) -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=self._converse, args=(peer, address), daemon=True).start()

    def _converse(self, peer: socket.socket, address: str) -> None:
        with peer, suppress(OSError), peer.makefile("rb") as lines:
            line = lines.readline().decode()
            headers: dict[str, str] = {}
            while (header := lines.readline().decode().rstrip("\r\n")) != "":
                name, _, value = header.partition(": ")
                headers[name.lower()] = value
            method, target, _ = line.split(" ", 2)
            raw = self.answer(Asked(method=method, url=f"http://{address}{target}", headers=headers))
            head = "".join(f"{name}: {value}\r\n" for name, value in raw.headers)
            peer.sendall(f"HTTP/1.1 {raw.status} X\r\n{head}Connection: close\r\n\r\n".encode("latin-1"))
            for piece in raw.pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    peer.sendall(piece)


class _Pieces:
    def __init__(self, pieces: Iterable[bytes | float]) -> None:
        self._pieces = (piece for piece in pieces if isinstance(piece, bytes))
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        pass


def _on(part: str, act: Callable[[Asked], Raw | None] | Raw) -> Attack:
    """Only for addresses with this in them."""

    def attack(asked: Asked) -> Raw | None:
        if part not in asked.url:
            return None
        return act if isinstance(act, Raw) else act(asked)

    return attack


def _to(location: str, status: int = 307) -> Raw:
    return Raw(status, [("Location", location), ("Content-Length", "0")])


def _challenge(*values: str) -> Raw:
    return Raw(401, [("Content-Length", "0"), *(("WWW-Authenticate", value) for value in values)])


def _endless(*headers: tuple[str, str]) -> Raw:
    return Raw(200, list(headers), itertools.repeat(b" " * 65536))


def _on_and_on(asked: Asked) -> Raw:
    return _to(asked.url.split("?")[0] + f"?n={len(asked.url)}{asked.url.partition('?')[2]}")


def _changing() -> Attack:
    """The tag is something else every second time."""
    turn = itertools.count()
    return _on("/manifests/v1", lambda _: _whole(_OTHER_INDEX if next(turn) % 2 else _INDEX_DATA, IMAGE_INDEX))


def _pages(asked: Asked) -> Raw:
    number = int(asked.url.partition("page=")[2] or 0) + 1
    link = ("Link", f'<{asked.path.partition("?")[0]}?page={number}>; rel="next"')
    return _whole(Index(manifests=()).encode(), IMAGE_INDEX, 200, link)


def _fat_pages(asked: Asked) -> Raw:
    """A page has one descriptor with a megabyte of annotations."""
    number = int(asked.url.partition("page=")[2] or 0) + 1
    link = ("Link", f'<{asked.path.partition("?")[0]}?page={number}>; rel="next"')
    entry = describe(b"%d" % number, IMAGE_MANIFEST, annotations={"x": f"{number}" * (1 << 20)})
    return _whole(Index(manifests=(entry,)).encode(), IMAGE_INDEX, 200, link)


def _linking(to: str) -> Callable[[Asked], Raw]:
    """The list goes on at the same path of another server."""
    empty = Index(manifests=()).encode()
    return lambda asked: _whole(empty, IMAGE_INDEX, 200, ("Link", f"<{to}{asked.path}?n=1>; rel=next"))


def _manifest(data: bytes, media_type: str = IMAGE_INDEX) -> Attack:
    return _on("/manifests/v1", _whole(data, media_type))


def _layer(raw: Callable[[Asked], Raw | None] | Raw) -> Attack:
    return _on("/blobs/", raw)


def _part(change: Callable[[int, int], Raw]) -> Attack:
    """Changes the answers to requests with a range."""

    def attack(asked: Asked) -> Raw | None:
        first, _, last = asked.headers.get("range", "").removeprefix("bytes=").partition("-")
        return change(int(first), int(last)) if last else None

    return _layer(attack)


def _partial(data: bytes, first: int, last: int, *, length: int | None = None) -> Raw:
    span = ("Content-Range", f"bytes {first}-{last}/{len(LAYER_DATA)}")
    return Raw(206, [span, ("Content-Length", str(len(data) if length is None else length))], [data])


def _breaking(asked: Asked) -> Raw:
    """Breaks off after a little; goes on elsewhere than asked."""
    if "range" in asked.headers:
        return _partial(LAYER_DATA[:1000], 0, 999)
    return Raw(200, [("Content-Length", str(len(LAYER_DATA)))], [LAYER_DATA[:50_000]])


_BASIC, _BEARER = 'Basic realm="x"', 'Bearer realm="{}",service="x"'

ATTACKS: dict[str, tuple[Attack, str, str]] = {
    # name: (attack, what the victim does: manifest, layer, range or referrers; the code that it must end with)
    "manifest by digest is another": (
        _on(f"/manifests/{INDEX.digest}", _whole(_OTHER_INDEX, IMAGE_INDEX)), "pinned", "oci.manifest.digest"),
    "says another digest": (
        _on("/manifests/v1", _whole(_INDEX_DATA, IMAGE_INDEX, 200, ("Docker-Content-Digest", "sha256:" + "0" * 64))),
        "manifest", "oci.registry.digest"),
    "says another type": (_manifest(_INDEX_DATA, IMAGE_MANIFEST), "manifest", "oci.document.media-type"),
    "a page for a manifest": (_manifest(b"<html>", "text/html"), "manifest", "json.syntax"),
    "longer than it says": (
        _on("/manifests/v1", Raw(200, [("Content-Length", "5")], [_INDEX_DATA])), "manifest", "json.syntax"),
    "shorter than it says": (
        _on("/manifests/v1", Raw(200, [("Content-Length", "9999")], [_INDEX_DATA])), "manifest", "net.truncated"),
    "length no number": (
        _on("/manifests/v1", Raw(200, [("Content-Length", "1e9")], [_INDEX_DATA])), "manifest", "net.protocol"),
    "endless manifest": (_on("/manifests/", _endless()), "manifest", "net.too-large"),
    "manifest too large": (_manifest(b" " * ((4 << 20) + 1)), "manifest", "net.too-large"),
    "manifest nested deeply": (_manifest(b"[" * 200_000), "manifest", "json.depth"),
    "manifest of nothing many times": (_manifest(b"[" + b"{}," * 1_000_000 + b"0]"), "manifest", "json.values"),
    "compressed": (
        _on("/manifests/v1", _whole(b"", IMAGE_INDEX, 200, ("Content-Encoding", "gzip"))), "manifest", "net.encoding"),
    "401 for ever": (_on("", _challenge(_BASIC)), "manifest", "oci.auth.denied"),
    "401 with a token that is never good": (
        lambda asked: _whole(b'{"token":"t"}', "application/json") if "/token" in asked.url
        else _challenge(_BEARER.format("/".join(asked.url.split("/")[:3]) + "/token")),
        "manifest", "oci.auth.denied"),
    "401 without a word": (_on("", _challenge()), "manifest", "oci.auth.challenge"),
    "401 with noise": (_on("", _challenge('=,"', "Digest x=" + '"' * 900)), "manifest", "oci.auth.challenge"),
    "sends the password elsewhere in plain text": (
        _on("", _challenge(_BEARER.format("http://evil.example/token"))), "manifest", "oci.auth.realm"),
    "redirects in circles": (_on("", lambda asked: _to(asked.url)), "manifest", "oci.redirect.loop"),
    "redirects on and on": (_on("", _on_and_on), "manifest", "oci.redirect.too-many"),
    "redirects to a file": (_on("", _to("file:///etc/passwd")), "manifest", "oci.redirect.nowhere"),
    "redirects to nowhere": (_on("", Raw(302, [("Content-Length", "0")])), "manifest", "oci.redirect.nowhere"),
    "redirects with a password": (_on("", _to("http://a:b@localhost/")), "manifest", "oci.redirect.nowhere"),
    "busy for ever": (_on("", Raw(503, [("Retry-After", "99999999")])), "manifest", "oci.unavailable"),
    "another layer": (_layer(_whole(LAYER_DATA[:-1] + b"x", "a/b")), "layer", "oci.blob.digest"),
    "a longer layer": (_layer(_whole(LAYER_DATA + b"x", "a/b")), "layer", "net.too-large"),
    "a longer layer without a length": (_layer(Raw(200, [], [LAYER_DATA, b"x"])), "layer", "net.too-large"),
    "a shorter layer": (_layer(_whole(LAYER_DATA[:-1], "a/b")), "layer", "oci.blob.size"),
    "a shorter layer without a length": (_layer(Raw(200, [], [LAYER_DATA[:-1]])), "layer", "net.truncated"),
    "an endless layer": (_layer(_endless()), "layer", "net.too-large"),
    "a layer that breaks off again and again": (
        _layer(Raw(200, [("Content-Length", str(len(LAYER_DATA)))], [b"x"])), "layer", "net.truncated"),
    "goes on elsewhere than asked": (_layer(_breaking), "layer", "oci.range.wrong"),
    "a part from elsewhere": (
        _part(lambda first, last: _partial(LAYER_DATA[: last - first + 1], 0, last - first)),
        "range", "oci.range.wrong"),
    "a part that is none": (
        _part(lambda first, last: Raw(206, [], [LAYER_DATA[first : last + 1]])), "range", "oci.range.wrong"),
    "a part of another blob": (
        _part(lambda first, last: _whole(b"x", "a/b", 206, ("Content-Range", f"bytes {first}-{last}/9"))),
        "range", "oci.range.wrong"),
    "a part that is too long": (
        _part(lambda first, last: _partial(LAYER_DATA[first : last + 9], first, last)), "range", "oci.range.wrong"),
    "a part that ends early": (
        _part(lambda first, last: _partial(b"x", first, last, length=last - first + 1)), "range", "net.truncated"),
    "an endless part": (
        _part(lambda first, last: Raw(206, _partial(b"", first, last).headers[:1], itertools.repeat(b"x" * 9999))),
        "range", "net.too-large"),
    "the whole for a part": (
        _part(lambda first, last: _whole(LAYER_DATA, "a/b")), "range", "oci.range.unsupported"),
    "endless pages of referrers": (_on("/referrers/", _pages), "referrers", "oci.too-many"),
    "endless pages of fat referrers": (_on("/referrers/", _fat_pages), "referrers", "oci.too-many"),
    "pages of referrers in a circle": (
        _on("/referrers/", lambda asked: _whole(
            Index(manifests=()).encode(), IMAGE_INDEX, 200, ("Link", f'<{asked.url}>; rel="next"'))),
        "referrers", "oci.link"),
    "referrers elsewhere": (_on("/referrers/", _linking("http://evil.example")), "referrers", "oci.link"),
    "referrers of another repository": (
        _on("/referrers/", lambda asked: _whole(
            Index(manifests=()).encode(), IMAGE_INDEX, 200, ("Link", '</v2/other/referrers/x>; rel=next'))),
        "referrers", "oci.link"),
    "referrers bomb": (
        _on("/referrers/", _whole(
            Index(manifests=tuple(describe(b"%d" % n, IMAGE_MANIFEST) for n in range(5000))).encode(), IMAGE_INDEX)),
        "referrers", "oci.too-many"),
}  # fmt: skip

ONLY_ON_A_SOCKET: dict[str, tuple[Attack, str, str]] = {
    "drips a manifest": (
        _on("/manifests/", lambda _: Raw(200, [("Content-Length", "9999")], itertools.cycle([b" ", 0.02]))),
        "manifest", "net.too-slow"),
    "drips a layer": (
        _layer(lambda _: Raw(200, [("Content-Length", str(len(LAYER_DATA)))], itertools.cycle([b"x", 0.02]))),
        "layer", "net.too-slow"),
    "a giant header": (_on("", Raw(200, [("X", "x" * 70_000)])), "manifest", "net.headers"),
    "many headers": (_on("", Raw(200, [(f"X-{n}", "x") for n in range(5000)])), "manifest", "net.headers"),
    "two lengths": (
        _on("", Raw(200, [("Content-Length", "1"), ("Content-Length", "2")], [b"xx"])), "manifest", "net.protocol"),
}  # fmt: skip

CHANGING_TAG = _changing
