# SPDX-License-Identifier: MIT
"""Envelopes are read as DSSE asks for, within limits."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.wire import dsse
from powernode.wire.dsse import Envelope, Signature

ENVELOPES = st.builds(
    Envelope,
    payload_type=st.text(st.characters(codec="utf-8"), max_size=20),
    payload=st.binary(max_size=100),
    signatures=st.lists(
        st.builds(Signature, key_id=st.text("0123456789abcdef", max_size=64), value=st.binary(max_size=80)), max_size=8
    ).map(tuple),
)
DOCUMENT = {"payloadType": "text/plain", "payload": "aGVsbG8=", "signatures": [{"keyid": "k", "sig": "c2ln"}]}


def parse(**changes: Any) -> Envelope:
    return dsse.parse(json.dumps({**DOCUMENT, **changes}).encode(), max_bytes=1 << 16)


def test_the_example_of_the_specification() -> None:
    # https://github.com/secure-systems-lab/dsse, protocol.md
    signed = dsse.pre_authentication("http://example.com/HelloWorld", b"hello world")
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_those_of_bytes() -> None:
    assert dsse.pre_authentication("é", b"\xff\n") == b"DSSEv1 2 \xc3\xa9 2 \xff\n"


@given(ENVELOPES)
def test_there_and_back(envelope: Envelope) -> None:
    assert dsse.parse(dsse.encode(envelope), max_bytes=1 << 16) == envelope


def test_what_dsse_asks_its_readers_to_take() -> None:
    raw = b"\xfb\xff\xfe??>>"
    url_safe = base64.urlsafe_b64encode(raw).decode()
    assert "-" in url_safe
    assert "_" in url_safe
    read = parse(payload=url_safe, signatures=[{"sig": url_safe}, {"keyid": None, "sig": "", "cert": "x"}], more={})
    assert read.payload == raw
    assert read.signatures == (Signature(key_id="", value=raw), Signature(key_id="", value=b""))


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("payload is a list", {"payload": []}, "wire.dsse.type"),
        ("type is null", {"payloadType": None}, "wire.dsse.type"),
        ("type of 257", {"payloadType": "x" * 257}, "wire.dsse.value"),
        ("no base64", {"payload": "a?=="}, "wire.dsse.base64"),
        ("no padding", {"payload": "aGVsbG8"}, "wire.dsse.base64"),
        ("something behind the padding", {"payload": "aGVsbG8=aGVs"}, "wire.dsse.base64"),
        ("line ends", {"payload": "aGVs\nbG8="}, "wire.dsse.base64"),
        ("letters beyond ascii", {"payload": "aGVsbG8é"}, "wire.dsse.base64"),
        ("signatures is an object", {"signatures": {}}, "wire.dsse.type"),
        ("a signature is a string", {"signatures": ["c2ln"]}, "wire.dsse.type"),
        ("signature without sig", {"signatures": [{"keyid": "k"}]}, "wire.dsse.missing"),
        ("9 signatures", {"signatures": [{"sig": "c2ln"}] * 9}, "wire.dsse.value"),
        ("signature of 9000", {"signatures": [{"sig": "A" * 9000}]}, "wire.dsse.value"),
        ("a float somewhere", {"more": 1.5}, "json.float"),
        ("a crowd of values", {"more": [0] * 4100}, "json.values"),
    ],
)
def test_refused(name: str, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as refusal:
        parse(**changes)
    assert refusal.value.code == code, name


@pytest.mark.parametrize("member", sorted(DOCUMENT))
def test_missing_member(member: str) -> None:
    document = {name: value for name, value in DOCUMENT.items() if name != member}
    with pytest.raises(DataError) as refusal:
        dsse.parse(json.dumps(document).encode(), max_bytes=1 << 16)
    assert refusal.value.code == "wire.dsse.missing"
