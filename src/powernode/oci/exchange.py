# SPDX-License-Identifier: MIT
"""One question to a registry, without I/O: logging in, redirects, another try.

A question is a generator: it yields an Ask (send this) or a Pause (wait so long), is given the Reply or has the error
thrown into it, and returns what came of it. Whoever drives it needs no rule of the protocol.

Invariants: credentials go to one origin, the registry's, and never come back once a redirect has left it; no redirect
leads from https to http; the number of redirects, of log-ins and of tries is bounded; only what may be carried out
twice is tried again.

    reply = yield from exchange(session, Ask("GET", session.url("manifests/v1"), max_body=1 << 22), session.pull)
"""

from __future__ import annotations

from powernode.base import canonical
from powernode.base.errors import DataError, MachineError, OperatorError, PowernodeError
from powernode.base.values import Value
from powernode.net.http import Headers, Url
from powernode.net.retry import RULES, TEMPORARY_STATUSES, Rules, pause_after_error, pause_after_status
from powernode.oci import challenge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import TypeAlias, TypeVar

    from powernode.net.http import Content
    from powernode.oci.challenge import Credentials

    _T = TypeVar("_T")
    Steps: TypeAlias = "Generator[Ask | Pause, Reply, _T]"
    Scope: TypeAlias = "tuple[str, ...]"

__all__ = ["Ask", "Pause", "Reply", "Session", "exchange", "pause_before", "pause_for_status", "refusal"]

MAX_REDIRECTS = 5
MAX_ERROR_BYTES = 64 << 10
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_SHOWN = 200


class Ask(Value):
    """Send this. With `stream`, the body of a good answer is not read: it is for whoever asked."""

    __slots__ = ("again", "body", "headers", "max_body", "method", "stream", "url")

    def __init__(
        self,
        method: str,
        url: Url,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | Content | None = None,
        max_body: int = MAX_ERROR_BYTES,
        stream: bool = False,
        again: bool = True,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = tuple(headers)
        self.body = body
        self.max_body = max_body
        self.stream = stream
        self.again = again

    def redirected(self, url: Url, authorization: str | None) -> Ask:
        headers = self.headers if authorization is None else (*self.headers, ("Authorization", authorization))
        return Ask(
            self.method,
            url,
            headers=headers,
            body=self.body,
            max_body=self.max_body,
            stream=self.stream,
            again=self.again,
        )


class Pause(Value):
    """Wait so long, then send None. `why` is what went wrong; the try after the pause is the `number`th of `most`."""

    __slots__ = ("most", "number", "seconds", "why")

    def __init__(self, seconds: float, *, why: str, number: int, most: int) -> None:
        self.seconds = seconds
        self.why = why
        self.number = number
        self.most = most


class Reply(Value):
    """`url` is who answered in the end; `body` is empty where it is streamed."""

    __slots__ = ("body", "headers", "status", "url")

    def __init__(self, status: int, headers: Headers, body: bytes, url: Url) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.url = url


class Session:
    """What is known while talking to one repository. `chance` gives numbers in [0, 1)."""

    def __init__(
        self,
        base: Url,
        repository: str,
        *,
        chance: Callable[[], float],
        credentials: Credentials | None = None,
        rules: Rules = RULES,
    ) -> None:
        self.base = base
        self.repository = repository
        self.chance = chance
        self.credentials = credentials
        self.rules = rules
        self.lists_referrers: bool | None = None
        """Whether the registry has the referrers API; None while nobody asked."""
        self._tokens: dict[Scope, str] = {}
        self._basic = False

    @property
    def pull(self) -> Scope:
        return (f"repository:{self.repository}:pull",)

    @property
    def push(self) -> Scope:
        return (f"repository:{self.repository}:pull,push",)

    def mount(self, source: str) -> Scope:
        return (*self.push, f"repository:{source}:pull")

    def url(self, path: str) -> Url:
        """An address inside the repository."""
        return self.base.at(f"/v2/{self.repository}/{path}")

    def authorization(self, scope: Scope) -> str | None:
        if self._basic:
            return challenge.basic(self.credentials)
        token = self._tokens.get(scope) or (self._tokens.get(self.push) if scope == self.pull else None)
        return None if token is None else challenge.bearer(token)

    def log_in(self, reply: Reply, scope: Scope) -> Steps[None]:
        """Do what a 401 asks for."""
        wanted = challenge.choose(reply.headers.all("www-authenticate"), has_password=self.credentials is not None)
        if wanted.scheme == "basic":
            self._basic = True
            return
        self._tokens.pop(scope, None)
        url, authorization = challenge.token_request(wanted, self.base, scope, self.credentials)
        headers = [("Accept", "application/json")]
        headers += [("Authorization", authorization)] if authorization else []
        ask = Ask("GET", url, headers=headers, max_body=challenge.MAX_TOKEN_REPLY)
        answer = yield from _again(self, ask, lambda: _once(ask))
        if answer.status in _REDIRECTS:
            raise DataError("oci.auth.realm", f"{url.authority} sends the log-in elsewhere", found=f"{answer.status}")
        if answer.status != 200:
            raise refusal(answer, f"a token from {url.authority}")
        self._tokens[scope] = challenge.token_of(answer.body)


def exchange(session: Session, ask: Ask, scope: Scope) -> Steps[Reply]:
    """The registry's answer, whatever its status; it is never 401."""
    return (yield from _again(session, ask, lambda: _logged_in(session, ask, scope)))


def pause_for(session: Session, tried: int, error: PowernodeError) -> Pause:
    """How long to wait after an error before the next of several tries; raises the error when there is none."""
    pause = pause_after_error(session.rules, tried=tried, code=error.code, chance=session.chance())
    if pause is None:
        raise error
    return pause_before(session.rules, tried, pause, error)


def pause_before(rules: Rules, tried: int, seconds: float, error: PowernodeError) -> Pause:
    """The pause after an error, with what it is for."""
    why = error.message if error.found is None else f"{error.message} ({error.found})"
    return Pause(seconds, why=why, number=tried + 1, most=rules.tries)


def pause_for_status(session: Session, tried: int, reply: Reply) -> Pause | None:
    """The same after an answer; None when it is the last."""
    pause = pause_after_status(
        session.rules,
        tried=tried,
        status=reply.status,
        retry_after=reply.headers.get("retry-after"),
        chance=session.chance(),
    )
    if pause is None:
        return None
    why = f"{reply.url.authority} cannot now: status {reply.status}{_said(reply.body)}"
    return Pause(pause, why=why, number=tried + 1, most=session.rules.tries)


def refusal(reply: Reply, what: str) -> PowernodeError:
    """A status that was not hoped for, in our words and a little of theirs."""
    found = f"status {reply.status}{_said(reply.body)}"
    where = f"{what} at {reply.url.authority}"
    if reply.status == 401:
        return OperatorError("oci.auth.denied", f"not allowed: {where}", found=found, hint="log in to the registry")
    if reply.status == 403:
        return OperatorError("oci.auth.forbidden", f"not allowed: {where}", found=found)
    if reply.status == 404:
        return OperatorError("oci.not-found", f"there is no {where}", found=found)
    if reply.status in TEMPORARY_STATUSES:
        return MachineError("oci.unavailable", f"the registry cannot now: {where}", found=found, hint="try again later")
    return DataError("oci.status", f"the registry refuses: {where}", found=found)


def checked_target(reply_url: Url, location: str | None) -> Url:
    """Where a Location leads; never from https to http."""
    if not location:
        raise DataError("oci.redirect.nowhere", f"{reply_url.authority} sends us elsewhere without saying where")
    try:
        target = reply_url.join(location)
    except DataError as error:
        raise DataError("oci.redirect.nowhere", f"{reply_url.authority} sends us nowhere", found=error.found) from None
    if reply_url.scheme == "https" and target.scheme != "https":
        raise DataError(
            "oci.redirect.downgrade",
            f"{reply_url.authority} sends us to an address without TLS",
            expected="https",
            found=str(target)[:_SHOWN],
        )
    return target


def _again(session: Session, ask: Ask, attempt: Callable[[], Steps[Reply]]) -> Steps[Reply]:
    tried = 0
    while True:
        tried += 1
        try:
            reply = yield from attempt()
        except PowernodeError as error:
            if not ask.again:
                raise
            yield pause_for(session, tried, error)
            continue
        pause = pause_for_status(session, tried, reply) if ask.again else None
        if pause is None:
            return reply
        yield pause


def _logged_in(session: Session, ask: Ask, scope: Scope) -> Steps[Reply]:
    reply = yield from _followed(session, ask, scope)
    if reply.status == 401 and reply.url.origin == session.base.origin:
        yield from session.log_in(reply, scope)
        reply = yield from _followed(session, ask, scope)
    if reply.status == 401:  # also with a token that is a moment old
        raise refusal(reply, f"{ask.method} {ask.url.path}")
    return reply


def _followed(session: Session, ask: Ask, scope: Scope) -> Steps[Reply]:
    url, at_home, seen = ask.url, True, set()
    for _ in range(MAX_REDIRECTS + 1):
        seen.add(str(url))
        at_home = at_home and url.origin == session.base.origin
        reply = yield from _once(ask.redirected(url, session.authorization(scope) if at_home else None))
        if reply.status not in _REDIRECTS:
            return reply
        if ask.method not in ("GET", "HEAD"):
            raise DataError("oci.redirect.method", f"{url.authority} redirects {ask.method}", found=f"{reply.status}")
        url = checked_target(url, reply.headers.get("location"))
        if str(url) in seen:
            raise DataError("oci.redirect.loop", f"{ask.url.authority} sends us in circles", found=str(url)[:_SHOWN])
    raise DataError("oci.redirect.too-many", f"{ask.url.authority} sends us on and on", expected=f"{MAX_REDIRECTS}")


def _once(ask: Ask) -> Steps[Reply]:
    return (yield ask)


def _said(body: bytes) -> str:
    """A registry's own words; they are a stranger's, so only a line of plain characters is shown."""
    try:
        document = canonical.decode(body, what="the error", max_bytes=MAX_ERROR_BYTES)
    except DataError:
        return ""
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return ""
    text = ": ".join(str(first[name]) for name in ("code", "message") if isinstance(first.get(name), str))
    return f" ({''.join(c if c.isprintable() else '?' for c in text[:_SHOWN])})" if text else ""
