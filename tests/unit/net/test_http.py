# SPDX-License-Identifier: MIT
"""Addresses, headers and the limits of a body."""

from __future__ import annotations

import io

import pytest

from powernode.base.errors import DataError
from powernode.net.http import Headers, Request, Response, Url


def test_addresses() -> None:
    url = Url.parse("HTTPS://Host.Example:8443/a/b?c=d")
    assert (url.scheme, url.host, url.port, url.target, url.path) == ("https", "host.example", 8443, "/a/b?c=d", "/a/b")
    assert str(url) == "https://host.example:8443/a/b?c=d"
    assert str(Url.parse("http://host.example:80")) == "http://host.example/"
    assert str(Url.parse("http://[::1]:5000/v2/")) == "http://[::1]:5000/v2/"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/x?y", "https://a.example/x?y"),
        ("x", "https://a.example/v2/x"),
        ("?z=1", "https://a.example/v2/?z=1"),
        ("//b.example/x", "https://b.example/x"),
        ("http://b.example:81/x", "http://b.example:81/x"),
    ],
)
def test_joining(location: str, expected: str) -> None:
    assert str(Url.parse("https://a.example/v2/?q").join(location)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host/path",
        "ftp://host/",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@host/",
        "http://host/a b",
        "http://host/\r\nX: 1",
        "http://host/ä",
        "http://host:99999/",
        "http://host:0/",
        "http://host:x/",
        "http://host/#fragment",
        "http://[::1/",
        "http://host/" + "x" * 9000,
    ],
)
def test_no_addresses(text: str) -> None:
    for parse in (Url.parse, Url.parse("http://h/").join) if "//" in text and text != "http://" else (Url.parse,):
        with pytest.raises(DataError) as caught:
            parse(text)
        assert caught.value.code == "net.url"


def test_headers() -> None:
    headers = Headers([("A", "1"), ("b", "2"), ("a", "1")])
    assert (headers.get("a"), headers.all("A"), headers.get("c")) == ("1", ("1", "1"), None)
    with pytest.raises(DataError) as caught:
        Headers([("A", "1"), ("a", "2")]).get("a")
    assert caught.value.code == "net.protocol"


def response(data: bytes, *headers: tuple[str, str], most: int = 100, method: str = "GET") -> Response:
    request = Request(method, Url.parse("http://h/"), max_body=most)
    return Response(request, 200, Headers(headers), io.BytesIO(data))


def test_a_body_ends_where_its_length_says() -> None:
    answer = response(b"hello, world", ("Content-Length", "5"))
    assert [answer.read(3), answer.read(), answer.read()] == [b"hel", b"lo", b""]


def test_the_head_of_a_body_has_none() -> None:
    assert response(b"", ("Content-Length", "5"), method="HEAD", most=0).read_all() == b""


def test_exactly_the_most() -> None:
    assert response(b"x" * 100).read_all() == b"x" * 100


def test_a_narrower_bound() -> None:
    answer = response(b"x" * 12)
    assert (answer.read(2), answer.read_all(10)) == (b"xx", b"x" * 10)
    for headers in ([], [("Content-Length", "11")]):
        answer = response(b"x" * 11, *headers)
        with pytest.raises(DataError) as caught:
            answer.read_all(10)
        assert caught.value.code == "net.too-large"


@pytest.mark.parametrize(
    ("data", "length", "code"),
    [(b"x" * 101, None, "net.too-large"), (b"x", "101", "net.too-large"), (b"x", "2", "net.truncated")],
)
def test_bodies_that_are_refused(data: bytes, length: str | None, code: str) -> None:
    with pytest.raises(DataError) as caught:
        response(data, *([("Content-Length", length)] if length else [])).read_all()
    assert caught.value.code == code
