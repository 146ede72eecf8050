# SPDX-License-Identifier: MIT
"""Signing with a certificate, a log entry and a timestamp from servers, as far as `trust` believing the result."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.module.sign import sign
from powernode.module.signing_services import Services
from powernode.module.verify import read_policy, verify_reference
from powernode.signing import ca, keys
from powernode.signing.artifact import Signer
from powernode.trust.artifact import Kind, TimeSource
from unit.module._stores import BareRegistry, fill
from unit.signing._services import FULCIO, REKOR, TSA, Network
from unit.signing._tokens import GITEA, SUBJECT

YEAR = 365 * 86400
KEY = Signer(key=keys.new_key("ecdsa-p256"))


@pytest.fixture(scope="module")
def authority() -> ca.Authority:
    return ca.new("Example", now=int(time.time()) - 60)[0]


@pytest.fixture
def network(tmp_path: Path, authority: ca.Authority) -> Network:
    """Whose clock says when the test began: openssl's timestamps know no other time."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program for timestamps")
    return Network(tmp_path, now=int(time.time()), certificates=authority)


def token(network: Network) -> bytes:
    return network.tokens.token({"iat": network.now, "nbf": network.now, "exp": network.now + 300})


@pytest.mark.parametrize(
    ("rekor", "tsa", "source"),
    [(REKOR, None, TimeSource.LOG), (None, TSA, TimeSource.TIMESTAMP), (REKOR + "/", TSA, None)],
    ids=["log", "timestamp", "both"],
)
@pytest.mark.parametrize("place", ["referrer", "cosign's tag"])
def test_what_servers_vouch_for_is_believed_a_year_later(
    network: Network, rekor: str | None, tsa: str | None, source: TimeSource | None, place: str
) -> None:
    services = Services(network, rekor=rekor, tsa=tsa)
    signer = services.certified(FULCIO + "/", token(network))
    store = BareRegistry()
    index, _ = fill(store)
    list(sign(store, "v1.0.0", signer, evidence=services.evidence, cosign_tag=True))
    del store.tags[f"sha256-{index.digest[7:]}{'.sig' if place == 'referrer' else ''}"]
    root = json.loads(network.trusted_root())
    if rekor is None:
        root["tlogs"] = []  # a root that knows logs asks for them
    policy = read_policy(identity=SUBJECT, issuer=GITEA, trust_roots=[("root", json.dumps(root).encode())])
    proof = verify_reference(store, "v1.0.0", policy, now=network.now + YEAR).proof
    assert (proof.subject, proof.issuer) == (SUBJECT, GITEA)
    assert proof.kind is (Kind.SIMPLE if "tag" in place else Kind.BUNDLE)
    assert (proof.log_index is not None) == (rekor is not None)
    assert proof.signed_at is not None
    assert abs(proof.signed_at - network.now) < 60
    if source is not None:
        assert proof.time_source is source


def test_without_them_ten_minutes_are_all(network: Network) -> None:
    services = Services(network)
    store = BareRegistry()
    fill(store)
    list(sign(store, "v1.0.0", services.certified(FULCIO, token(network)), evidence=services.evidence))
    root = json.loads(network.trusted_root()) | {"tlogs": []}
    policy = read_policy(identity=SUBJECT, issuer=GITEA, trust_roots=[("root", json.dumps(root).encode())])
    assert verify_reference(store, "v1.0.0", policy, now=network.now + 599).proof.time_source is TimeSource.CLOCK
    with pytest.raises(DataError) as refusal:
        verify_reference(store, "v1.0.0", policy, now=network.now + 601)
    assert refusal.value.code == "trust.artifact.expired"


def test_the_log_has_it_already(network: Network) -> None:
    services = Services(network, rekor=REKOR)
    store = BareRegistry()
    fill(store)
    first = list(sign(store, "v1.0.0", KEY, evidence=services.evidence))
    assert list(sign(store, "v1.0.0", KEY, evidence=services.evidence)) != []
    assert len(network.log.bodies) == len(first)
    assert [request.method for request in network.asked].count("GET") == len(first)


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (400, [], OperatorError),
        (401, [], OperatorError),
        (302, [("location", "https://elsewhere.example/")], OperatorError),
        (409, [("location", "https://elsewhere.example/")], OperatorError),
        (409, [], OperatorError),
        (500, [], DataError),
    ],
)
def test_refusals_lead_nowhere_else(
    network: Network, status: int, headers: list[tuple[str, str]], error: type[PowernodeError]
) -> None:
    network.break_with("fulcio.example", status, b"no \x1b[31m", *headers)
    with pytest.raises(error) as refusal:
        Services(network).certified(FULCIO, token(network))
    assert refusal.value.code == "module.services.refused"
    assert "\x1b" not in (refusal.value.found or "")
    assert {request.url.host for request in network.asked} == {"fulcio.example"}


def test_a_token_does_not_travel_in_the_clear(network: Network) -> None:
    with pytest.raises(OperatorError) as refusal:
        Services(network).certified("http://fulcio.example", token(network))
    assert (refusal.value.code, network.asked) == ("module.services.plain-http", [])
    network.break_with("127.0.0.1", 404, b"")
    with pytest.raises(OperatorError) as refusal:
        Services(network).certified("http://127.0.0.1:5555", token(network))
    assert refusal.value.code == "module.services.refused"


def test_answers_that_say_something_else(network: Network) -> None:
    store = BareRegistry()
    fill(store)
    for host, code in (("rekor.example", "signing.rekor.answer"), ("tsa.example", "signing.timestamp")):
        network.break_with(host, 200, b"{}")
        options = {"rekor": REKOR} if "rekor" in host else {"tsa": TSA}
        with pytest.raises(DataError) as refusal:
            list(sign(store, "v1.0.0", KEY, evidence=Services(network, **options).evidence))
        assert refusal.value.code == code
        assert not any(b"sigstore" in data for data in store.content.values())


def test_an_answer_without_end(network: Network) -> None:
    network.break_with("fulcio.example", 200, b" " * (300 << 10))
    with pytest.raises(DataError) as refusal:
        Services(network).certified(FULCIO, token(network))
    assert refusal.value.code == "net.too-large"
