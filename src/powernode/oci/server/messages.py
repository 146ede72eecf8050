# SPDX-License-Identifier: MIT
"""What comes to the registry and what it answers, as values; errors in the words of the distribution specification.

Answer(200, body=b"{}", headers=[("Content-Type", "application/json")])
error(404, "MANIFEST_UNKNOWN", "there is no such manifest")
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO, Protocol

    from powernode.net.http import Headers

    class Body(Protocol):
        """At most `size` bytes of what the client sends; none at the end."""

        def read(self, size: int, /) -> bytes: ...


__all__ = ["Answer", "FilePart", "FileParts", "Incoming", "RefusedError", "error"]


class Incoming:
    """A request; `target` is the path with its query as it was sent."""

    __slots__ = ("body", "headers", "method", "target")

    def __init__(self, method: str, target: str, headers: Headers, body: Body) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body


class FilePart:
    """So many bytes of an open file; who sends them closes it."""

    __slots__ = ("file", "length", "start")

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self.file = file
        self.start = start
        self.length = length

    @property
    def pieces(self) -> Sequence[bytes | FilePart]:
        return (self,)


class FileParts:
    """Several parts of one open file, with bytes between them; who sends them closes it."""

    __slots__ = ("file", "length", "pieces")

    def __init__(self, file: BinaryIO, pieces: Sequence[bytes | FilePart]) -> None:
        self.file = file
        self.pieces = pieces
        self.length = sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces)


class Answer:
    """`length` is said in the head; the answer to HEAD has one and no body."""

    __slots__ = ("body", "headers", "length", "status")

    def __init__(
        self,
        status: int,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | FilePart | FileParts = b"",
        length: int | None = None,
    ) -> None:
        self.status = status
        self.headers = list(headers)
        self.body = body
        own = len(body) if isinstance(body, bytes) else body.length
        self.length = own if length is None else length


class RefusedError(Exception):
    """Ends the handling of a request with this answer. Stays inside the server."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def error(status: int, code: str, message: str, *, headers: Iterable[tuple[str, str]] = ()) -> RefusedError:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return RefusedError(Answer(status, headers=[("Content-Type", "application/json"), *headers], body=body))
