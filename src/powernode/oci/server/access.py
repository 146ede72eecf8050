# SPDX-License-Identifier: MIT
"""Who may do what in the registry: everybody, only who knows a password, or nobody may change anything.

Invariants: the comparison takes the same time whoever asks; a user that is not there is refused in the same words.

Out of scope: tokens; rights per repository (the platform brings its own Access).

    access = Passwords.parse(b"builder:secret\\n")
    access.check("Basic …", "acme/redis", writes=True)         # None, or the answer that refuses
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from hashlib import sha256

from powernode.base.errors import OperatorError
from powernode.oci.server.messages import error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Access(Protocol):
        def check(self, authorization: str | None, repository: str, *, writes: bool) -> None:
            """Raises the refusal (messages.error) of a request that may not be carried out."""


__all__ = ["Everybody", "Passwords"]


class Everybody:
    def check(self, authorization: str | None, repository: str, *, writes: bool) -> None:
        pass


class Passwords:
    """Whoever knows one may do everything."""

    def __init__(self, users: dict[str, str]) -> None:
        self._users = {name: _hash(password) for name, password in users.items()}

    @classmethod
    def parse(cls, data: bytes) -> Passwords:
        """A line `NAME:PASSWORD` for each user; empty lines and those with # in front do not count."""
        users: dict[str, str] = {}
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            name, colon, password = line.partition(":")
            if not line.strip() or line.startswith("#"):
                continue
            if not colon or not name or not password or name in users:
                raise OperatorError("oci.server.passwords", f"line {number} of the passwords", expected="NAME:PASSWORD")
            users[name] = password
        if not users:
            raise OperatorError("oci.server.passwords", "no passwords in the file", expected="lines NAME:PASSWORD")
        return cls(users)

    def check(self, authorization: str | None, repository: str, *, writes: bool) -> None:
        scheme, _, encoded = (authorization or "").partition(" ")
        try:
            given = b64decode(encoded.strip(), validate=True).decode("utf-8") if scheme.lower() == "basic" else ""
        except ValueError:
            given = ""
        name, _, password = given.partition(":")
        expected = self._users.get(name, b"\0" * 32)
        if not hmac.compare_digest(_hash(password), expected):
            challenge = [("WWW-Authenticate", 'Basic realm="powernode registry"')]
            raise error(401, "UNAUTHORIZED", "a user and a password are needed", headers=challenge)


def _hash(password: str) -> bytes:
    return sha256(password.encode()).digest()
