# SPDX-License-Identifier: MIT
"""A blob to send and fetch, and answers in the place of the registry's."""

from __future__ import annotations

import io

from powernode.base.errors import MachineError, PowernodeError
from powernode.net.http import Headers, Request, Response
from powernode.oci.client import Registry
from powernode.oci.documents import Descriptor, describe

DATA = bytes(range(256)) * 1024  # four pieces
BLOB = describe(DATA, "application/x")


def fetched(registry: Registry, descriptor: Descriptor = BLOB) -> bytes:
    sink = io.BytesIO()
    registry.fetch_blob(descriptor, sink)
    return sink.getvalue()


def answer(request: Request, status: int, body: bytes = b"", *headers: tuple[str, str]) -> Response:
    return Response(request, status, Headers([*headers, ("Content-Length", str(len(body)))]), io.BytesIO(body))


class Once:
    """Answers the first request of a method in the registry's place; `times` for more."""

    def __init__(self, method: str, act: object, times: int = 1) -> None:
        self.method = method
        self.act = act
        self.times = times

    def __call__(self, request: Request) -> Response | None:
        if not self.times or request.method != self.method:
            return None
        self.times -= 1
        if isinstance(self.act, PowernodeError):
            raise self.act
        status, *headers = self.act if isinstance(self.act, tuple) else (self.act,)
        return answer(request, status, b"", *headers)


LOST = MachineError("net.lost", "lost")
