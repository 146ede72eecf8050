# SPDX-License-Identifier: MIT
"""WWW-Authenticate as strangers write it, and what may be sent to whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError, OperatorError
from powernode.net.http import Url
from powernode.oci.challenge import Challenge, Credentials, basic, choose, parse, token_of, token_request

HTTPS, HTTP = Url.parse("https://registry.example/"), Url.parse("http://localhost:5000/")
WHO = Credentials(username="builder", password="secret")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s"', [("bearer", {"realm": "https://a/t", "service": "s"})]),
        ("Basic realm=x", [("basic", {"realm": "x"})]),
        ("BASIC", [("basic", {})]),
        ('Basic realm="a, b", Bearer realm="c"', [("basic", {"realm": "a, b"}), ("bearer", {"realm": "c"})]),
        (r'Bearer realm="a\"b\\c"', [("bearer", {"realm": 'a"b\\c'})]),
        ("Bearer realm = x , service = y", [("bearer", {"realm": "x", "service": "y"})]),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('realm="x"', []),
        ("", []),
        ('Bearer realm="never closed', [("bearer", {})]),
    ],
)
def test_parsing(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(each.scheme, each.parameters) for each in parse([header])] == expected


@given(st.lists(st.text(st.sampled_from('Bearer=", \\tbasic/x:'), max_size=60), max_size=3))
def test_parsing_ends(headers: list[str]) -> None:
    for each in parse(headers):
        assert each.scheme.islower() or not each.scheme.isalpha()


def test_a_long_header_is_cut() -> None:
    assert len(parse(["Basic," * 100_000])) == 16


def test_a_token_is_preferred() -> None:
    headers = ['Basic realm="x"', 'Bearer realm="https://a/"']
    assert choose(headers, has_password=True).scheme == "bearer"
    assert choose(headers[:1], has_password=True).scheme == "basic"
    with pytest.raises(OperatorError) as caught:
        choose(headers[:1], has_password=False)
    assert caught.value.code == "oci.auth.required"


@pytest.mark.parametrize("headers", [[], ["Negotiate"], ["Bearer"], ['Bearer realm=""']])
def test_no_way_in(headers: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        choose(headers, has_password=True)
    assert caught.value.code == "oci.auth.challenge"


def test_what_a_token_is_asked_for() -> None:
    challenge = Challenge(
        "bearer", {"realm": "https://auth.example/t?x=1", "service": "a b", "scope": "repository:evil:*"}
    )
    url, authorization = token_request(challenge, HTTPS, ["repository:a:pull", "repository:b:pull"], WHO)
    assert str(url) == (
        "https://auth.example/t?x=1&service=a%20b&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull&account=builder"
    )
    assert authorization == "Basic YnVpbGRlcjpzZWNyZXQ="
    assert token_request(challenge, HTTPS, [], None)[1] is None


@pytest.mark.parametrize(
    ("base", "realm", "allowed"),
    [
        (HTTPS, "https://auth.example/", True),
        (HTTPS, "http://registry.example/", False),
        (HTTP, "http://localhost:5001/", True),
        (HTTP, "http://127.0.0.1/", False),
        (HTTP, "https://auth.example/", True),
        (HTTP, "http://auth.example/", False),
    ],
)
def test_where_a_password_may_go(base: Url, realm: str, allowed: bool) -> None:
    challenge = Challenge("bearer", {"realm": realm})
    if allowed:
        assert token_request(challenge, base, [], WHO)[0] == Url.parse(f"{realm}?account=builder")
    else:
        with pytest.raises(DataError) as caught:
            token_request(challenge, base, [], WHO)
        assert caught.value.code == "oci.auth.realm"


def test_tokens() -> None:
    assert token_of(b'{"token":"a.b-c_d","access_token":"other"}') == "a.b-c_d"
    assert token_of(b'{"access_token":"x","issued_at":"now","expires_in":300}') == "x"
    for data in (b'{"token":""}', b'{"token":"a b"}', b'{"token":"a\\nb"}'):
        with pytest.raises(DataError) as caught:
            token_of(data)
        assert caught.value.code == "oci.auth.token"


@pytest.mark.parametrize(("username", "password"), [("a:b", "c"), ("a", "b\r\nX: y"), ("a\n", "b")])
def test_names_that_cannot_be_sent(username: str, password: str) -> None:
    with pytest.raises(OperatorError):
        Credentials(username=username, password=password)


def test_other_alphabets() -> None:
    assert basic(Credentials(username="ä", password="€")) == "Basic w6Q64oKs"
