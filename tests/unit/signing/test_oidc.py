# SPDX-License-Identifier: MIT
"""Identity tokens: a genuine one names somebody; every kind of bad one has its own code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.signing import jwks, oidc
from powernode.signing.issuers import EXAMPLE, MAPPINGS, Issuer, encode, parse
from unit.signing._tokens import CLAIMS, GITEA, KINDS, NOW, SUBJECT, TokenIssuer, url64

OURS = Issuer.of(GITEA, "gitea")
ISSUER = TokenIssuer()
KEYS = jwks.parse(ISSUER.jwks)


def verify(token: bytes, issuer: Issuer = OURS, now: int = NOW) -> oidc.Identity:
    return oidc.verify(token, issuer, KEYS, now=now)


def test_whom_a_gitea_token_names() -> None:
    identity = verify(ISSUER.token())
    assert identity.subject == SUBJECT
    assert (identity.issuer, identity.is_email, identity.challenge) == (GITEA, False, CLAIMS["sub"])
    assert identity.extensions[2] == "push"
    assert identity.extensions[12] == "https://git.example.org/acme/redis"
    assert identity.extensions[21] == "https://git.example.org/acme/redis/actions/runs/42/attempts/1"
    assert 22 not in identity.extensions  # the token says nothing of it


@pytest.mark.parametrize("algorithm", KINDS)
def test_every_algorithm(algorithm: str) -> None:
    issuer = TokenIssuer(algorithm)
    assert oidc.verify(issuer.token(), OURS, jwks.parse(issuer.jwks), now=NOW).subject == SUBJECT


@pytest.mark.parametrize(
    ("kind", "url", "claims", "subject"),
    [
        (
            "github",
            "https://token.actions.githubusercontent.com",
            {"job_workflow_ref": "acme/redis/.github/workflows/b.yml@refs/heads/main"},
            "https://github.com/acme/redis/.github/workflows/b.yml@refs/heads/main",
        ),
        (
            "gitlab",
            "https://gitlab.example.org",
            {"ci_config_ref_uri": "gitlab.example.org/acme/redis//.gitlab-ci.yml@refs/heads/main"},
            "https://gitlab.example.org/acme/redis//.gitlab-ci.yml@refs/heads/main",
        ),
        ("email", "https://id.example.org", {"email": "me@example.org", "email_verified": True}, "me@example.org"),
        ("uri", "https://id.example.org", {"sub": "https://id.example.org/users/7"}, "https://id.example.org/users/7"),
    ],
)
def test_other_kinds_of_issuers(kind: str, url: str, claims: dict[str, Any], subject: str) -> None:
    identity = verify(ISSUER.token({"iss": url, **claims}), Issuer.of(url, kind))
    assert (identity.subject, identity.issuer, identity.is_email) == (subject, url, kind == "email")


def test_the_challenge_is_the_mail_address_where_there_is_one() -> None:
    assert oidc.challenge(ISSUER.token({"email": "me@example.org"})) == "me@example.org"
    assert oidc.challenge(ISSUER.token()) == CLAIMS["sub"]


@pytest.mark.parametrize(
    ("defect", "claims", "code"),
    [
        ("unknown issuer", {"iss": "https://elsewhere.example"}, "signing.token.issuer"),
        ("issuer with a slash more", {"iss": GITEA + "/"}, "signing.token.issuer"),
        ("no issuer", {"iss": None}, "signing.token.missing"),
        ("issuer that is a list", {"iss": [GITEA]}, "signing.token.type"),
        ("for somebody else", {"aud": "https://cloud.example"}, "signing.token.audience"),
        ("for nobody", {"aud": None}, "signing.token.audience"),
        ("for a part of our name", {"aud": "sigstor"}, "signing.token.audience"),
        ("for several others", {"aud": ["a", "b"]}, "signing.token.audience"),
        ("over", {"exp": NOW}, "signing.token.expired"),
        ("without an end", {"exp": None}, "signing.token.missing"),
        ("with an end in words", {"exp": "never"}, "signing.token.type"),
        ("with an end that is true", {"exp": True}, "signing.token.type"),
        ("of tomorrow", {"nbf": NOW + 86400}, "signing.token.early"),
        ("issued tomorrow", {"iat": NOW + 86400}, "signing.token.early"),
        ("without a workflow", {"job_workflow_ref": None}, "signing.token.claim"),
        ("with an empty workflow", {"job_workflow_ref": ""}, "signing.token.claim"),
        ("with a line break in it", {"job_workflow_ref": "acme/redis@x\nhttps://other"}, "signing.token.subject"),
        ("with letters beyond ASCII", {"job_workflow_ref": "acmé/redis"}, "signing.token.subject"),
        ("with a very long name", {"job_workflow_ref": "a" * 4000}, "signing.token.subject"),
        ("that names nobody", {"sub": None}, "signing.token.claim"),
    ],
)
def test_tokens_that_are_not_taken(defect: str, claims: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as refusal:
        verify(ISSUER.token(claims))
    assert refusal.value.code == code, defect


@pytest.mark.parametrize(
    ("defect", "kind", "claims", "code"),
    [
        ("mail not verified", "email", {"email": "me@example.org"}, "signing.token.email"),
        (
            "mail verified in words",
            "email",
            {"email": "me@example.org", "email_verified": "yes"},
            "signing.token.email",
        ),
        ("no mail", "email", {"email_verified": True}, "signing.token.claim"),
        ("somebody else's address", "uri", {"sub": "https://bank.example/x"}, "signing.token.subject"),
        ("an address that begins alike", "uri", {"sub": "https://git.example.org.evil/x"}, "signing.token.subject"),
    ],
)
def test_names_an_issuer_may_not_give(defect: str, kind: str, claims: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as refusal:
        verify(ISSUER.token(claims), Issuer.of(GITEA, kind))
    assert refusal.value.code == code, defect


def test_a_list_of_audiences_and_a_clock_a_little_ahead() -> None:
    assert verify(ISSUER.token({"aud": ["other", "sigstore"], "iat": NOW + 30})).subject == SUBJECT


@pytest.mark.parametrize(
    ("defect", "header", "code"),
    [
        ("not signed", {"alg": "none"}, "signing.token.algorithm"),
        ("signed with the public key as a secret", {"alg": "HS256"}, "signing.token.algorithm"),
        ("another kind of key", {"alg": "RS256"}, "signing.token.key"),
        ("no such key", {"kid": "2"}, "signing.token.key"),
        ("critical extension", {"crit": ["exp"]}, "signing.token.critical"),
        ("no algorithm", {"alg": None}, "signing.token.missing"),
    ],
)
def test_headers_that_are_not_taken(defect: str, header: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as refusal:
        verify(ISSUER.token(header=header))
    assert refusal.value.code == code, defect


def test_who_signed_must_be_said_or_be_plain() -> None:
    token = ISSUER.token(header={"kid": None})
    assert verify(token).subject == SUBJECT
    both = jwks.parse(json.dumps({"keys": [ISSUER.jwk, TokenIssuer(key_id="2").jwk]}).encode())
    with pytest.raises(DataError) as refusal:
        oidc.verify(token, OURS, both, now=NOW)
    assert refusal.value.code == "signing.token.key"


def test_signed_by_somebody_else() -> None:
    other = TokenIssuer()
    with pytest.raises(DataError) as refusal:
        verify(other.token())
    assert refusal.value.code == "signing.token.signature"
    head, body, _ = ISSUER.token().split(b".")
    for signature in ("", url64(bytes(64)), url64(bytes(63)), url64(bytes(72))):
        with pytest.raises(DataError) as refusal:
            verify(b".".join((head, body, signature.encode())))
        assert refusal.value.code == "signing.token.signature"


@pytest.mark.parametrize(
    ("defect", "token", "code"),
    [
        ("empty", b"", "signing.token.malformed"),
        ("two parts", b"a.b", "signing.token.malformed"),
        ("five parts", b"a.b.c.d.e", "signing.token.malformed"),
        ("padded", b"e30=.e30.AA", "signing.token.malformed"),
        ("the other alphabet", b"e3+/.e30.AA", "signing.token.malformed"),
        ("not ASCII", "é.e30.AA".encode(), "signing.token.malformed"),
        ("a list for a header", f"{url64(b'[]')}.e30.AA".encode(), "signing.token.malformed"),
        ("not JSON", f"{url64(b'{')}.e30.AA".encode(), "json.syntax"),
        ("a claim twice", b"e30." + url64(b'{"iss":1,"iss":2}').encode() + b".AA", "json.duplicate-key"),
        ("too long", b"a" * (oidc.MAX_BYTES + 1), "signing.token.size"),
    ],
)
def test_what_is_no_token(defect: str, token: bytes, code: str) -> None:
    with pytest.raises(DataError) as refusal:
        verify(token)
    assert refusal.value.code == code, defect


class TestIssuers:
    def test_round_trip(self) -> None:
        issuers = (
            Issuer.of(GITEA, "gitea"),
            Issuer.of("https://x.example/", "uri", audience="a", base="https://y.example/"),
        )
        assert parse(encode(issuers)) == issuers
        assert [each.base for each in issuers] == ["https://git.example.org", "https://y.example"]

    @pytest.mark.parametrize(
        ("defect", "item"),
        [
            ("unknown kind", {"issuer": GITEA, "kind": "forge"}),
            ("no address", {"issuer": "git.example.org", "kind": "gitea"}),
            ("somebody's address", {"issuer": "https://me@git.example.org", "kind": "gitea"}),
            ("a base that is none", {"issuer": GITEA, "kind": "gitea", "base": "ftp://git.example.org"}),
            ("for nobody", {"issuer": GITEA, "kind": "gitea", "audience": ""}),
        ],
    )
    def test_refusals(self, defect: str, item: dict[str, str]) -> None:
        with pytest.raises(OperatorError) as refusal:
            parse(json.dumps([item]).encode())
        assert refusal.value.code == "signing.issuers", defect

    def test_an_issuer_twice_and_a_member_too_many(self) -> None:
        one = {"issuer": GITEA, "kind": "gitea"}
        with pytest.raises(OperatorError):
            parse(json.dumps([one, {**one, "kind": "uri"}]).encode())
        with pytest.raises(DataError) as refusal:
            parse(json.dumps([{**one, "audiences": "x"}]).encode())
        assert refusal.value.code == "signing.issuers.unknown-key"

    @pytest.mark.parametrize("document", ["{}", '["gitea"]', '[{"issuer": "https://git.example.org"}]'])
    def test_what_is_no_list_of_issuers(self, document: str) -> None:
        with pytest.raises(PowernodeError) as refusal:
            parse(document.encode())
        assert refusal.value.code in ("signing.issuers", "signing.issuers.missing")
        assert "issuers[0] of" not in str(refusal.value)

    def test_the_example(self) -> None:
        (issuer,) = parse(f"[{EXAMPLE}]".encode())
        assert (issuer.url, issuer.kind) == ("https://git.example.org", "gitea")

    def test_templates_name_claims(self) -> None:
        for rules in MAPPINGS.values():
            for template in (rules.subject, *rules.extensions.values()):
                assert "{" in template
                assert template.count("{") == template.count("}")


class TestKeySet:
    def test_keys_that_do_not_sign_are_left_out(self) -> None:
        others = [
            {**ISSUER.jwk, "use": "enc"},
            {**ISSUER.jwk, "alg": "ES384"},
            {**ISSUER.jwk, "d": "AA"},
            {"kty": "oct", "k": "c2VjcmV0"},
            {**ISSUER.jwk, "crv": "P-521"},
        ]
        assert len(jwks.parse(json.dumps({"keys": [*others, ISSUER.jwk], "more": 1}).encode())) == 1
        with pytest.raises(DataError) as refusal:
            jwks.parse(json.dumps({"keys": others}).encode())
        assert refusal.value.code == "signing.jwks.empty"

    @pytest.mark.parametrize(
        ("defect", "change", "code"),
        [
            ("a point that is on no curve", {"x": url64(bytes(32))}, "signing.jwks.key"),
            ("half a point", {"y": None}, "signing.jwks.missing"),
            ("a number that is no base64", {"x": "*"}, "signing.jwks.base64"),
            ("no kind", {"kty": None}, "signing.jwks.missing"),
        ],
    )
    def test_refusals(self, defect: str, change: dict[str, Any], code: str) -> None:
        item = {name: value for name, value in {**ISSUER.jwk, **change}.items() if value is not None}
        with pytest.raises(DataError) as refusal:
            jwks.parse(json.dumps({"keys": [item]}).encode())
        assert refusal.value.code == code, defect

    def test_a_weak_key(self) -> None:
        item = {"kty": "RSA", "n": url64(b"\xff" * 128), "e": "AQAB"}
        with pytest.raises(OperatorError) as refusal:
            jwks.parse(json.dumps({"keys": [item]}).encode())
        assert refusal.value.code == "signing.key-kind"
