# SPDX-License-Identifier: MIT
"""An envelope is believed for one reason only: a pinned key signed its type and its payload."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from powernode.base.errors import DataError
from powernode.signing import dsse as signing
from powernode.signing import keys as signing_keys
from powernode.trust import dsse
from powernode.trust.keys import load_public_keys
from unit.trust.conftest import KeyPair

TYPE = "application/vnd.example+json"
PAYLOAD = b'{"hello":"world"}'
pytestmark = pytest.mark.usefixtures("door")


def code_of(envelope: bytes, pem: bytes, payload_type: str = TYPE, **limits: int) -> str:
    with pytest.raises(DataError) as refusal:
        dsse.verify(envelope, load_public_keys(pem), payload_type, **limits)
    return refusal.value.code


def changed(envelope: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(envelope), **changes}).encode()


@pytest.mark.parametrize("kind", signing_keys.KINDS)
def test_signed_by_every_kind(pairs: dict[str, KeyPair], kind: str) -> None:
    envelope = signing.sign(PAYLOAD, TYPE, pairs[kind].private)
    assert dsse.verify(envelope, load_public_keys(pairs[kind].public), TYPE) == PAYLOAD
    everybody = load_public_keys(b"".join(pair.public for pair in pairs.values()))
    assert dsse.verify(envelope, everybody, TYPE) == PAYLOAD
    others = b"".join(pair.public for pair in pairs.values() if pair.kind != kind)
    assert code_of(envelope, others) == "trust.dsse.signature"


def test_another_key_of_the_same_kind(pairs: dict[str, KeyPair]) -> None:
    envelope = signing.sign(PAYLOAD, TYPE, pairs["ed25519"].private)
    _, stranger = signing_keys.generate("ed25519")
    assert code_of(envelope, stranger) == "trust.dsse.signature"


def test_the_key_id_is_only_a_hint(pairs: dict[str, KeyPair]) -> None:
    envelope = signing.sign(PAYLOAD, TYPE, pairs["ed25519"].private)
    (signature,) = json.loads(envelope)["signatures"]
    keys = load_public_keys(pairs["rsa"].public + pairs["ed25519"].public)
    assert signature["keyid"] == keys[1].key_id
    for key_id in ("", "nonsense", keys[0].key_id):
        other = changed(envelope, signatures=[{**signature, "keyid": key_id}])
        assert dsse.verify(other, keys, TYPE) == PAYLOAD
    stranger, _ = signing_keys.generate("ed25519")
    forged = json.loads(signing.sign(PAYLOAD, TYPE, stranger))["signatures"][0]
    lying = changed(envelope, signatures=[{**forged, "keyid": keys[1].key_id}])
    assert code_of(lying, pairs["ed25519"].public) == "trust.dsse.signature"


def test_one_good_signature_among_others_is_enough(pairs: dict[str, KeyPair]) -> None:
    envelope = signing.sign(PAYLOAD, TYPE, pairs["ed25519"].private)
    (signature,) = json.loads(envelope)["signatures"]
    others = [{"sig": ""}, {"keyid": signature["keyid"], "sig": "AAAA"}, {"sig": base64.b64encode(bytes(64)).decode()}]
    several = changed(envelope, signatures=[*others, signature])
    assert dsse.verify(several, load_public_keys(pairs["ed25519"].public), TYPE) == PAYLOAD


def test_refusals(pairs: dict[str, KeyPair]) -> None:
    pair = pairs["ecdsa-p256"]
    good = signing.sign(PAYLOAD, TYPE, pair.private)
    payload = base64.b64encode(PAYLOAD + b" ").decode()
    other_type = signing.sign(PAYLOAD, "text/plain", pair.private)
    assert code_of(changed(good, signatures=[]), pair.public) == "trust.dsse.unsigned"
    assert code_of(changed(good, payload=payload), pair.public) == "trust.dsse.signature"
    assert code_of(changed(other_type, payloadType=TYPE), pair.public) == "trust.dsse.signature"
    assert code_of(other_type, pair.public) == "trust.dsse.payload-type"
    assert code_of(good, pair.public, "text/plain") == "trust.dsse.payload-type"
    assert code_of(good, b"") == "trust.dsse.no-keys"
    assert code_of(PAYLOAD, pair.public) == "trust.dsse.malformed"
    assert code_of(b"", pair.public) == "trust.dsse.malformed"
    assert code_of(good[:-1], pair.public) == "trust.dsse.malformed"
    assert code_of(good, pair.public, max_bytes=len(good) - 1) == "trust.dsse.malformed"
    assert dsse.verify(good, load_public_keys(pair.public), TYPE, max_bytes=len(good)) == PAYLOAD


def test_every_changed_byte_of_an_envelope(pairs: dict[str, KeyPair]) -> None:
    """Whatever is changed, the payload that comes out is the one that went in, or none."""
    keys = load_public_keys(pairs["ed25519"].public)
    envelope = signing.sign(PAYLOAD, TYPE, pairs["ed25519"].private)
    codes = set()
    for index in range(len(envelope)):
        bad = bytearray(envelope)
        bad[index] ^= 1
        try:
            assert dsse.verify(bytes(bad), keys, TYPE) == PAYLOAD  # a changed hint changes nothing
        except DataError as error:
            codes.add(error.code)
    assert codes == {"trust.dsse.malformed", "trust.dsse.signature", "trust.dsse.payload-type"}
