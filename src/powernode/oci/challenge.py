# SPDX-License-Identifier: MIT
"""What a registry asks for before it answers: `WWW-Authenticate` read, and what may be sent to whom.

Invariants: a password goes only to the registry itself or, over https, to the token service that the registry names;
over plain http only where the registry itself is asked that way, and to no other host. A token is asked for what we
want to do and not for what the challenge says, so a registry cannot have us fetch a token for something else.

Out of scope: identity tokens and credential helpers of other tools.

    challenge = choose(headers.all("www-authenticate"), has_password=True)
    url, authorization = token_request(challenge, base, ("repository:acme/redis:pull",), credentials)
"""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import quote, urlencode

from powernode.base import canonical
from powernode.base.errors import DataError, OperatorError
from powernode.base.fields import Fields
from powernode.base.values import Value
from powernode.net.http import Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Challenge", "Credentials", "basic", "bearer", "choose", "token_of", "token_request"]

MAX_TOKEN_REPLY = 256 << 10
_MAX_HEADER = 8192
_MAX_CHALLENGES = 16
_SCHEME = re.compile(r"[ \t,]*([A-Za-z][A-Za-z0-9._~+-]*)(?=[ \t]|,|$)(?![ \t]*=)")
_PARAMETER = re.compile(r'[ \t,]*([A-Za-z][A-Za-z0-9_-]*)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:-]{1,65536}")


class Credentials(Value):
    __slots__ = ("password", "username")

    def __init__(self, *, username: str, password: str) -> None:
        if ":" in username or not (username + password).isprintable():
            raise OperatorError("oci.credentials.value", "a user name or password with characters that cannot be sent")
        self.username = username
        self.password = password

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=…)"


class Challenge(Value):
    """`scheme` in lower case, with its parameters."""

    __slots__ = ("parameters", "scheme")

    def __init__(self, scheme: str, parameters: dict[str, str]) -> None:
        self.scheme = scheme
        self.parameters = parameters


def parse(headers: Sequence[str]) -> list[Challenge]:
    """Every challenge of the headers, in order; what comes after something malformed is overlooked."""
    found: list[Challenge] = []
    for header in headers:
        at, header = 0, header[:_MAX_HEADER]
        while len(found) < _MAX_CHALLENGES and (scheme := _SCHEME.match(header, at)):
            at, parameters = scheme.end(), {}
            while parameter := _PARAMETER.match(header, at):
                quoted = parameter[2]
                parameters[parameter[1].lower()] = parameter[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                at = parameter.end()
            found.append(Challenge(scheme[1].lower(), parameters))
    return found


def choose(headers: Sequence[str], *, has_password: bool) -> Challenge:
    """The challenge to answer: a token where there is a service for it, else the password."""
    challenges = parse(headers)
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return challenge
    for challenge in challenges:
        if challenge.scheme == "basic":
            if has_password:
                return challenge
            raise OperatorError("oci.auth.required", "the registry asks for a user and a password", hint="log in first")
    found = ", ".join(challenge.scheme[:40] for challenge in challenges) or "none"
    raise DataError("oci.auth.challenge", "no way to log in that we know", expected="Bearer or Basic", found=found)


def token_request(
    challenge: Challenge, base: Url, scopes: Sequence[str], credentials: Credentials | None
) -> tuple[Url, str | None]:
    """Where to ask for a token, and what to send as Authorization."""
    realm = challenge.parameters["realm"]
    url = Url.parse(realm)
    if url.scheme != "https" and not (base.scheme == "http" and url.host == base.host):
        raise DataError(
            "oci.auth.realm",
            "the registry sends us to log in where a password may not go",
            expected="https",
            found=realm[:200],
        )
    query = [("service", challenge.parameters["service"])] if challenge.parameters.get("service") else []
    query += [("scope", scope) for scope in scopes]
    if credentials is not None:
        query.append(("account", credentials.username))
    separator = "&" if "?" in url.target else "?"
    return url.at(f"{url.target}{separator}{urlencode(query, quote_via=quote)}"), basic(credentials)


def token_of(data: bytes) -> str:
    """The token in a token service's answer."""
    what = "the answer of the token service"
    fields = Fields(canonical.decode(data, what=what, max_bytes=MAX_TOKEN_REPLY), code="oci.auth.token", what=what)
    name = "token" if fields.has("token") else "access_token"
    token = fields.text(name, longest=1 << 16)
    if not _TOKEN.fullmatch(token):
        raise DataError("oci.auth.token", f"{what} holds no token")
    return token


def basic(credentials: Credentials | None) -> str | None:
    if credentials is None:
        return None
    return "Basic " + b64encode(f"{credentials.username}:{credentials.password}".encode()).decode("ascii")


def bearer(token: str) -> str:
    return f"Bearer {token}"
