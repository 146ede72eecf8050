# SPDX-License-Identifier: MIT
"""One exchange, step by step and without anybody on the other side: what is asked, waited for and given up."""

from __future__ import annotations

import pytest

from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.net.http import Headers, Url
from powernode.net.retry import Rules
from powernode.oci.challenge import Credentials
from powernode.oci.exchange import Ask, Pause, Reply, Session, exchange

BASE = Url.parse("https://registry.example/")
ASK = Ask("GET", BASE.at("/v2/a/manifests/v1"))
WHO = Credentials(username="builder", password="secret")


def session(credentials: Credentials | None = None) -> Session:
    return Session(BASE, "a", chance=lambda: 0.5, credentials=credentials, rules=Rules(tries=3, base_s=1.0))


def reply(status: int, *headers: tuple[str, str], body: bytes = b"", url: Url = ASK.url) -> Reply:
    return Reply(status, Headers(headers), body, url)


def play(talk: Session, *answers: Reply | PowernodeError, ask: Ask = ASK) -> tuple[list[str], int | str]:
    """What was asked (with the scheme of the login) and waited; then the final status or code."""
    steps = exchange(talk, ask, talk.pull)
    said: list[str] = []
    waiting = list(answers)
    try:
        wanted = next(steps)
        while True:
            if isinstance(wanted, Pause):
                said.append(f"pause {wanted.seconds:g}")
                wanted = next(steps)
                continue
            login = dict(wanted.headers).get("Authorization", "-").split()[0]
            said.append(f"{wanted.url} {login}")
            answer = waiting.pop(0)
            wanted = steps.throw(answer) if isinstance(answer, PowernodeError) else steps.send(answer)
    except StopIteration as stop:
        assert not waiting
        return said, stop.value.status
    except PowernodeError as error:
        assert not waiting
        return said, error.code


LOST, DRIPS = MachineError("net.lost", "lost"), MachineError("net.too-slow", "slow")
HERE = f"{ASK.url}"


def test_at_once() -> None:
    assert play(session(), reply(200)) == ([f"{HERE} -"], 200)
    assert play(session(), reply(404)) == ([f"{HERE} -"], 404)


def test_what_passes_is_tried_again() -> None:
    assert play(session(), LOST, reply(503, ("Retry-After", "7")), reply(200)) == (
        [f"{HERE} -", "pause 1", f"{HERE} -", "pause 9", f"{HERE} -"],
        200,
    )
    assert play(session(), LOST, LOST, LOST)[1] == "net.lost"
    assert play(session(), reply(503), reply(503), reply(503))[1] == 503


def test_what_does_not_pass_is_not() -> None:
    assert play(session(), DRIPS) == ([f"{HERE} -"], "net.too-slow")
    once = Ask("PATCH", ASK.url, again=False)
    assert play(session(), LOST, ask=once)[1] == "net.lost"
    assert play(session(), reply(503), ask=once)[1] == 503


BASIC = ("WWW-Authenticate", "Basic realm=x")
BEARER = ("WWW-Authenticate", 'Bearer realm="https://auth.example/t"')
TOKEN = "https://auth.example/t?scope=repository%3Aa%3Apull"


def test_a_password_is_kept_for_the_next_time() -> None:
    talk = session(WHO)
    assert play(talk, reply(401, BASIC), reply(200)) == ([f"{HERE} -", f"{HERE} Basic"], 200)
    assert play(talk, reply(200)) == ([f"{HERE} Basic"], 200)
    assert play(talk, reply(401, BASIC), reply(401, BASIC))[1] == "oci.auth.denied"


def test_a_token_is_kept_until_it_is_refused() -> None:
    talk = session()
    good = reply(200, body=b'{"token":"t"}', url=Url.parse(TOKEN))
    assert play(talk, reply(401, BEARER), good, reply(200)) == ([f"{HERE} -", f"{TOKEN} -", f"{HERE} Bearer"], 200)
    assert play(talk, reply(200)) == ([f"{HERE} Bearer"], 200)
    assert play(talk, reply(401, BEARER), good, reply(200))[0] == [f"{HERE} Bearer", f"{TOKEN} -", f"{HERE} Bearer"]
    assert play(talk, reply(401, BEARER), good, reply(401, BEARER))[1] == "oci.auth.denied"


def test_the_token_service_is_asked_again_too() -> None:
    good = reply(200, body=b'{"token":"t"}', url=Url.parse(TOKEN))
    said, status = play(session(), reply(401, BEARER), reply(502, url=Url.parse(TOKEN)), good, reply(200))
    assert (said[2], status) == ("pause 1", 200)


def test_the_wider_token_will_do() -> None:
    talk = session()
    talk._tokens[talk.push] = "t"
    assert play(talk, reply(200)) == ([f"{HERE} Bearer"], 200)


def to(location: str) -> Reply:
    return reply(307, ("Location", location))


def test_redirects() -> None:
    there = "https://cdn.example/x"
    talk = session(WHO)
    play(talk, reply(401, BASIC), reply(200))
    assert play(talk, to(there), reply(200, url=Url.parse(there))) == ([f"{HERE} Basic", f"{there} -"], 200)
    assert play(talk, to("/y"), reply(200))[0] == [f"{HERE} Basic", "https://registry.example/y Basic"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([to("http://registry.example/")], "oci.redirect.downgrade"),
        ([to(HERE)], "oci.redirect.loop"),
        ([to("/x"), to(HERE)], "oci.redirect.loop"),
        ([to(f"/{number}") for number in range(6)], "oci.redirect.too-many"),
        ([to("")], "oci.redirect.nowhere"),
        ([to("https://a:b@registry.example/")], "oci.redirect.nowhere"),
    ],
)
def test_redirects_that_are_not_followed(answers: list[Reply], code: str) -> None:
    assert play(session(), *answers)[1] == code


def test_a_question_that_changes_something_is_not_redirected() -> None:
    assert play(session(), to("/x"), ask=Ask("PUT", ASK.url))[1] == "oci.redirect.method"


def test_a_location_said_twice() -> None:
    with pytest.raises(DataError) as caught:
        reply(307, ("Location", "/a"), ("Location", "/b")).headers.get("location")
    assert caught.value.code == "net.protocol"
