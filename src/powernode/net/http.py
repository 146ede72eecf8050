# SPDX-License-Identifier: MIT
"""HTTP as values and a port: what is asked, what is answered, and who carries it.

Invariants: a body never gives more than the request allows nor more than its Content-Length, and one that ends before
its Content-Length is refused: whoever reads to the end has all of it. Redirects are answers like any other. Addresses
hold no user, no fragment, no space and nothing outside ASCII.

Out of scope: carrying it (`transport`), credentials, cookies, compression (identity is asked for).

    request = Request("GET", Url.parse("https://registry.example.com/v2/"), max_body=1 << 16)
    with transport.open(request) as response:
        response.status, response.headers.get("content-type"), response.read_all()
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from powernode.base.errors import DataError
from powernode.base.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Protocol

    class Readable(Protocol):
        """Gives at most `size` bytes; none at the end."""

        def read(self, size: int, /) -> bytes: ...
        def close(self) -> None: ...

    class Content(Protocol):
        """A body too large to hold; opened anew whenever it must be sent again."""

        @property
        def size(self) -> int: ...
        def open(self) -> Readable: ...

    class Transport(Protocol):
        """Carries one request and gives the answer, whatever its status; raises net.* when there is none."""

        def open(self, request: Request) -> Response: ...


__all__ = ["Headers", "Request", "Response", "Url"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_URL = 8192
_CHUNK = 1 << 16


class Url(Value):
    """An absolute http or https address; `target` is the path with the query."""

    __slots__ = ("host", "port", "scheme", "target")

    def __init__(self, *, scheme: str, host: str, port: int, target: str) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.target = target

    @classmethod
    def parse(cls, text: str) -> Url:
        if len(text) > _MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
            raise _bad_url(text)
        try:
            parts = urlsplit(text)
            scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        except ValueError:
            raise _bad_url(text) from None
        if scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc or parts.fragment or port == 0:
            raise _bad_url(text)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(scheme=scheme, host=host, port=port or _DEFAULT_PORTS[scheme], target=target)

    def join(self, location: str) -> Url:
        """What a Location or Link header seen here stands for."""
        if len(location) > _MAX_URL:
            raise _bad_url(location)
        try:
            return Url.parse(urljoin(str(self), location))
        except ValueError:
            raise _bad_url(location) from None

    def at(self, target: str) -> Url:
        """Another path of the same server."""
        return Url(scheme=self.scheme, host=self.host, port=self.port, target=target)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who is asked: credentials are for one origin."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


class Headers:
    """The fields of a head, in order; names in any case."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self.items = tuple(items)

    def all(self, name: str) -> tuple[str, ...]:
        wanted = name.lower()
        return tuple(value for key, value in self.items if key.lower() == wanted)

    def get(self, name: str) -> str | None:
        """The field's value; a field that says two things is refused, as two readers would differ."""
        values = set(self.all(name))
        if len(values) > 1:
            raise DataError("net.protocol", f"the header {name} is there several times and differs")
        return next(iter(values), None)


class Request(Value):
    """`body` is bytes or Content; `max_body` is the most that the answer's body may have."""

    __slots__ = ("body", "headers", "max_body", "method", "url")

    def __init__(
        self,
        method: str,
        url: Url,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | Content | None = None,
        max_body: int,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = tuple(headers)
        self.body = body
        self.max_body = max_body

    @property
    def body_size(self) -> int:
        return 0 if self.body is None else len(self.body) if isinstance(self.body, bytes) else self.body.size


class Response:
    """An answer whose body is still to be read; close it, or leave the `with` block."""

    __slots__ = ("_body", "_left", "_limit", "_read", "headers", "status")

    def __init__(self, request: Request, status: int, headers: Headers, body: Readable) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._limit = request.max_body
        self._read = 0
        bodiless = request.method == "HEAD" or status in (204, 304)
        self._left = 0 if bodiless else _content_length(headers)
        if self._left is not None and self._left > self._limit:
            raise _too_large(self._limit, f"{self._left} bytes announced")
        if headers.get("content-encoding") not in (None, "", "identity"):
            raise DataError("net.encoding", "the answer is compressed, which was not asked for")

    def read(self, size: int = _CHUNK, /) -> bytes:
        """At most `size` bytes; none only at the end of a complete body."""
        wanted = min(size, self._limit - self._read + 1)
        if self._left is not None:
            wanted = min(wanted, self._left)
        data = self._body.read(wanted) if wanted else b""
        self._read += len(data)
        if self._read > self._limit:
            raise _too_large(self._limit, "more")
        if self._left is not None:
            self._left -= len(data)
            if wanted and not data:
                raise DataError(
                    "net.truncated", "the answer ends early", found=f"{self._left} bytes less than announced"
                )
        return data

    def read_all(self, most: int | None = None) -> bytes:
        """The rest of the body; `most` is a narrower bound than the request's."""
        if most is not None:
            self._limit = min(self._limit, self._read + most)
        pieces = []
        while piece := self.read(_CHUNK):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._body.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _content_length(headers: Headers) -> int | None:
    if headers.get("transfer-encoding") is not None:
        return None
    text = headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise DataError("net.protocol", "the length of the answer is no number", found=repr(text[:40]))
    return int(text)


def _too_large(limit: int, found: str) -> DataError:
    return DataError("net.too-large", "the answer is too large", expected=f"at most {limit} bytes", found=found)


def _bad_url(text: str) -> DataError:
    return DataError(
        "net.url", "not an address that can be asked", expected="http(s)://HOST[:PORT]/PATH", found=repr(text[:150])
    )
