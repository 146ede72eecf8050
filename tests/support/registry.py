# SPDX-License-Identifier: MIT
"""Our own registry for tests: behind the Transport port without a socket, or on one.

transport = Direct(tmp_path)
registry = client(transport, "localhost/acme/redis")
with listening(tmp_path) as address: ...
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from powernode.net.http import Headers, Request, Response
from powernode.net.retry import Rules
from powernode.oci.client import Registry
from powernode.oci.credentials import Credentials
from powernode.oci.reference import Reference
from powernode.oci.server.handler import Handler
from powernode.oci.server.listen import Listener
from powernode.oci.server.messages import Answer, Incoming
from powernode.oci.server.storage import Storage

if TYPE_CHECKING:
    from powernode.oci.server.access import Access

__all__ = ["Direct", "body_of", "client", "handler", "listening"]

RULES = Rules(tries=4, base_s=0.0, most_s=0.0)


def handler(
    root: Path,
    *,
    access: Access | None = None,
    read_only: bool = False,
    now: Callable[[], float] = time.time,
    max_blob_bytes: int = 1 << 30,
) -> Handler:
    numbers = itertools.count()
    return Handler(
        Storage(root),
        new_id=lambda: f"{next(numbers):032x}",
        now=now,
        access=access,
        read_only=read_only,
        max_blob_bytes=max_blob_bytes,
    )


def body_of(answer: Answer) -> bytes:
    """What would be sent."""
    if isinstance(answer.body, bytes):
        return answer.body
    out = b""
    with answer.body.file as file:
        for piece in answer.body.pieces:
            if not isinstance(piece, bytes):
                file.seek(piece.start)
                piece = file.read(piece.length)
            out += piece
    return out


class Direct:
    """The Transport port, straight into a handler. `seen` is what was asked; `change` may answer in its place."""

    def __init__(self, handles: Handler) -> None:
        self._handler = handles
        self.seen: list[Request] = []
        self.change: Callable[[Request], Response | None] = lambda request: None
        self.after: Callable[[Request, Answer], Answer] = lambda request, answer: answer

    def open(self, request: Request) -> Response:
        self.seen.append(request)
        changed = self.change(request)
        if changed is not None:
            return changed
        body = request.body
        source = io.BytesIO(body if isinstance(body, bytes) else body.open().read(body.size) if body else b"")
        headers = Headers([*request.headers, ("Content-Length", str(request.body_size))])
        answer = self._handler.handle(Incoming(request.method, request.url.target, headers, source))
        answer = self.after(request, answer)
        headers = Headers([*answer.headers, ("Content-Length", str(answer.length))])
        return Response(request, answer.status, headers, io.BytesIO(body_of(answer)))

    def methods(self) -> list[str]:
        """What was asked, short: "GET manifests/v1"."""
        return [f"{each.method} {each.url.target.partition('/v2/')[2]}" for each in self.seen]


def client(
    transport: object,
    reference: str = "localhost/acme/redis",
    *,
    credentials: Credentials | None = None,
    chunk_bytes: int = 1 << 16,
    rules: Rules = RULES,
) -> Registry:
    return Registry(
        transport,  # type: ignore[arg-type]
        Reference.parse(reference),
        credentials,
        sleep=lambda seconds: None,
        chance=lambda: 0.5,
        rules=rules,
        chunk_bytes=chunk_bytes,
    )


@contextmanager
def listening(root: Path, *, access: Access | None = None, read_only: bool = False) -> Iterator[str]:
    """Our registry on a free port: its `host:port`."""
    with Listener(handler(root, access=access, read_only=read_only), ("127.0.0.1", 0)) as listener:
        yield listener.address
