# SPDX-License-Identifier: MIT
"""HTTP to a metadata service: what it may do to us is bounded in time, size, count and address.

Only link-local and loopback addresses, no names to resolve, no proxy, no redirect, identity encoding. Every wait on
the socket is cut to what the deadline leaves, so that a peer that drips one byte a second gains nothing. Server errors,
and a service that does not answer yet, are tried three times.

    service.get("/latest/user-data", {"X-aws-ec2-metadata-token": token})     # Reply, or None for 404
"""

from __future__ import annotations

import http.client
import io
import socket

from powernode.agent.identity.surroundings import LIMIT, Deadline, DeadlineError, Surroundings
from powernode.base.errors import DataError, OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer

_TRIES = 3
_PAUSE_S = 0.2
_REQUEST_S = 2.0
_PAGES = ("text/html", "application/xhtml+xml", "text/xml", "application/xml")


class UnansweredError(Exception):
    """Nothing listens there. Stays inside this package."""


class Reply:
    """A complete answer; header names in lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Service:
    """One metadata service, for the time of one deadline."""

    __slots__ = ("_address", "_deadline", "_sleep")

    def __init__(self, around: Surroundings, deadline: Deadline) -> None:
        require_local(around.metadata[0])
        self._address = around.metadata
        self._deadline = deadline
        self._sleep = around.sleep

    def get(self, path: str, headers: Mapping[str, str]) -> Reply | None:
        """The answer, or None when the service has no such document."""
        reply = self.request("GET", path, headers)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise _status(reply.status, path)
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _PAGES:
            raise DataError("identity.cloud.content-type", f"{path} is a page and no metadata", found=kind)
        return reply

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """Any status but a redirect and, after some patience, a server error."""
        pause = _PAUSE_S
        for left in reversed(range(_TRIES)):
            try:
                reply = self._once(method, path, headers)
            except (UnansweredError, TimeoutError):
                self._deadline.remaining()  # first of all the end of the whole
                if not left:
                    raise
            else:
                if 300 <= reply.status < 400:
                    raise DataError(
                        "identity.cloud.redirect", f"{path} leads elsewhere", found=f"status {reply.status}"
                    )
                if reply.status < 500 and reply.status != 429:
                    return reply
                if not left:
                    raise _status(reply.status, path)
            self._sleep(min(pause, self._deadline.remaining()))
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        deadline = self._deadline.within(_REQUEST_S)
        try:
            peer = socket.create_connection(self._address, timeout=deadline.remaining())
        except TimeoutError:
            raise
        except OSError as error:
            raise UnansweredError(error.strerror or str(error)) from error
        try:
            connection = http.client.HTTPConnection(*self._address)
            connection.sock = _Guarded(peer, deadline)
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if method == "PUT":
                connection.putheader("Content-Length", "0")
            connection.putheader("Connection", "close")
            connection.endheaders()
            return _read(connection.getresponse(), path)
        except DeadlineError:
            raise TimeoutError from None
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DataError(
                "identity.cloud.protocol", f"the answer to {path} is no HTTP", found=type(error).__name__
            ) from error
        finally:
            peer.close()


def _read(response: http.client.HTTPResponse, path: str) -> Reply:
    body = response.read(LIMIT + 1)
    if len(body) > LIMIT:
        raise DataError("identity.too-large", f"the answer to {path} is too large", expected=f"at most {LIMIT} bytes")
    if response.length:
        raise http.client.IncompleteRead(body, response.length)
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def _status(status: int, path: str) -> DataError:
    return DataError("identity.cloud.status", f"the metadata service refuses {path}", found=f"status {status}")


def require_local(host: str) -> None:
    """Refuses every address that is not link-local or loopback: tokens do not travel."""
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        packed = b""
    four = len(packed) == 4 and (packed[0] == 127 or packed[:2] == b"\xa9\xfe")
    six = len(packed) == 16 and (packed == b"\0" * 15 + b"\1" or (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80))
    if not four and not six:
        raise OperatorError(
            "identity.cloud.address",
            "the metadata service cannot be there",
            expected="a link-local or loopback address",
            found=repr(host[:80]),
        )


class _Reader(io.RawIOBase):
    """The receiving side: the time for each read is what the deadline leaves."""

    def __init__(self, peer: socket.socket, deadline: Deadline) -> None:
        self._peer = peer
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        self._peer.settimeout(self._deadline.remaining())
        return self._peer.recv_into(buffer)


class _Guarded:
    """What http.client uses of a socket. It closes its socket before the body is read; the owner closes ours."""

    def __init__(self, peer: socket.socket, deadline: Deadline) -> None:
        self._peer = peer
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._peer.settimeout(self._deadline.remaining())
        self._peer.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._peer, self._deadline))

    def close(self) -> None:
        pass
