# SPDX-License-Identifier: MIT
"""Whatever is done to a good signature: it is refused, or what it proves is the same to the last member.

And whatever is found, the answer comes soon, in little memory, and is a refusal of ours and no crash.
"""

from __future__ import annotations

import base64
import copy
import json
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powernode import native
from powernode.base.errors import DataError
from powernode.trust.artifact import COSIGN_SIGNATURE, Found, Kind, Policy, Proof, verify
from powernode.trust.root import read_trusted_root
from unit.trust._cases import CONTENT, DIGEST, LATER, ME, policy
from unit.trust._parties import START, b64, compact
from unit.trust._world import World, found_in, statement

if native.library() is None:
    pytest.skip(f"signatures need the C library: {native.reason()}", allow_module_level=True)

WORLD = World()
SIGNER = WORLD.signer(ME)
POLICY = policy(WORLD)
DOCUMENTS = {
    "bytes": WORLD.bundle_document(SIGNER, CONTENT),
    "old": WORLD.bundle_document(SIGNER, CONTENT, version="0.1"),
    "rekor 2": WORLD.bundle_document(SIGNER, CONTENT, time=None),
    "envelope": WORLD.envelope_document(SIGNER, statement(DIGEST, COSIGN_SIGNATURE)),
}
GOOD = {**{name: found_in(document) for name, document in DOCUMENTS.items()}, "simple": WORLD.simple(SIGNER, DIGEST)}


def proof(found: Found, wanted: Policy = POLICY) -> Proof | None:
    try:
        return verify(DIGEST, [found], wanted, now=LATER, content=CONTENT)
    except DataError as error:
        if not error.code.startswith("trust.artifact."):
            raise
        return None


EXPECTED = {name: proof(found) for name, found in GOOD.items()}


PLACES = 48


def test_they_are_good() -> None:
    assert all(EXPECTED.values())


def binary_members(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], bytes]]:
    """Every text of a document that is base64 of something longer."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from binary_members(member, (*way, name))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from binary_members(member, (*way, number))
    elif isinstance(value, str) and len(value) > 40:
        try:
            yield way, base64.b64decode(value, validate=True)
        except ValueError:
            return


MEMBERS = [(name, way, data) for name, document in DOCUMENTS.items() for way, data in binary_members(document)]


@pytest.mark.parametrize(
    ("name", "way", "data"), MEMBERS, ids=[f"{name} {'.'.join(map(str, way))}" for name, way, _ in MEMBERS]
)
def test_every_byte_of_what_is_in_bundles(name: str, way: tuple[str | int, ...], data: bytes) -> None:
    """Certificates, signatures, entries, proofs, timestamps: every byte counts, or says nothing that is believed.

    Long ones are changed in PLACES places; test_x509 and test_sct change every byte of theirs.
    """
    step = max(1, len(data) // PLACES)
    accepted = []
    for index in range(0, len(data), step):
        changed = bytearray(data)
        changed[index] ^= 1 << index % 8
        found = found_in(put(DOCUMENTS[name], way, b64(bytes(changed))))
        result = proof(found)
        if result is not None:
            assert result == EXPECTED[name]
            accepted.append(index)
    # Of a timestamp some bytes are outside of what is signed: the response's status text, lists of algorithms.
    assert len(accepted) <= (12 if way[-1] == "signedTimestamp" else 0), accepted


def put(document: Any, way: tuple[str | int, ...], value: str) -> Any:
    changed = copy.deepcopy(document)
    inside = changed
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = value
    return changed


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=150)
@given(data=st.data())
def test_changed_text(name: str, data: st.DataObject) -> None:
    """Bytes of the documents themselves: changed, cut out, put in, doubled."""
    good = GOOD[name]
    member = data.draw(
        st.sampled_from([item for item in ("payload", "signature", "certificate", "bundle") if getattr(good, item)])
    )
    value = getattr(good, member)
    text = value if isinstance(value, bytes) else value.encode()
    start = data.draw(st.integers(0, len(text) - 1))
    size = data.draw(st.integers(0, 3))
    new = data.draw(st.one_of(st.binary(max_size=3), st.just(text[start : start + 40])))
    changed: Any = text[:start] + new + text[start + size :]
    if isinstance(value, str):
        changed = changed.decode("utf-8", "surrogateescape")
    result = proof(replace(good, **{member: changed}))
    assert result in (None, EXPECTED[name])


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=100)
@given(data=st.data())
def test_changed_structure(name: str, data: st.DataObject) -> None:
    """Members left out, emptied, made into something else, taken from another bundle."""
    document = copy.deepcopy(DOCUMENTS[name])
    places = list(every_place(document))
    way = data.draw(st.sampled_from(places))
    other = DOCUMENTS[data.draw(st.sampled_from(sorted(DOCUMENTS)))]
    values: list[Any] = [None, {}, [], "", 0, -1, 1.5, True, "0", "9" * 30, "x" * 5000, [[]] * 3]
    taken = lookup(other, way)
    inside = lookup(document, way[:-1])
    choice = data.draw(st.integers(0, len(values) + 1))
    if choice == len(values):
        del inside[way[-1]]
    elif choice == len(values) + 1 and taken is not None:
        inside[way[-1]] = taken
    else:
        inside[way[-1]] = values[choice % len(values)]
    result = proof(found_in(document))
    # A Rekor 1 entry without promise or proof proves less, but not something else; the timestamp then says when.
    assert result is None or (result.subject, result.digest) == (ME, DIGEST)
    assert result is None or result.signed_at in (START + 5, START + 7)


def every_place(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield (*way, name)
        yield from every_place(member, (*way, name))


def lookup(value: Any, way: tuple[Any, ...]) -> Any:
    for step in way:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


HUGE = {
    "deep lists": b"[" * 200_000 + b"]" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "many lists": b"[" + b"[]," * 5_000_000 + b"[]]",
    "many members": b"{" + b",".join(b'"%d":0' % number for number in range(500_000)) + b"}",
    "long text": b'{"mediaType":"' + b"x" * (15 << 20) + b'"}',
    "too long": bytes(64 << 20),
    "long number": b'{"mediaType":' + b"9" * 1_000_000 + b"}",
}


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("kind", Kind)
def test_huge_documents(name: str, kind: Kind) -> None:
    found = Found(kind=kind, where="x", payload=HUGE[name], signature="AAAA")
    tracemalloc.start()
    before = time.process_time()
    try:
        assert proof(found) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80 << 20
    assert time.process_time() - before < 3


@pytest.mark.parametrize("member", ["signature", "certificate", "chain", "bundle", "timestamp"])
def test_huge_annotations(member: str) -> None:
    for text in ("A" * (20 << 20), "[" * 300_000, "-----BEGIN CERTIFICATE-----\n" * 100_000, "\ud800", "\0"):
        change: dict[str, Any] = {member: text}
        found = replace(GOOD["simple"], **change)
        result = proof(found)
        assert result in (None, EXPECTED["simple"])
        if member != "timestamp" or text:
            assert result is None


def test_statement_with_a_crowd_of_values() -> None:
    payload = statement(DIGEST, COSIGN_SIGNATURE, [[]] * 3_000_000)
    found = Found(
        kind=Kind.DSSE,
        where="x",
        payload=compact(
            {"payload": b64(payload), "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "AAAA"}]}
        ),
    )
    before = time.process_time()
    assert proof(found) is None
    assert time.process_time() - before < 3


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(Kind))
def test_any_bytes(data: bytes, kind: Kind) -> None:
    assert proof(Found(kind=kind, where="x", payload=data, signature="AAAA", certificate=SIGNER.pem)) is None


@settings(max_examples=100)
@given(st.data())
def test_changed_trust_root(data: st.DataObject) -> None:
    """A damaged file is refused, or is one in which less is believed; never one in which our signature is another's."""
    text = compact(WORLD.trusted_root())
    start = data.draw(st.integers(0, len(text) - 1))
    changed = text[:start] + data.draw(st.binary(max_size=2)) + text[start + data.draw(st.integers(0, 2)) :]
    try:
        root = read_trusted_root(changed, name="the world")
    except DataError:
        return
    result = proof(GOOD["simple"], replace(POLICY, roots=(root,)))
    assert result in (None, EXPECTED["simple"])


def test_the_documents_are_what_they_seem() -> None:
    """The mutations above reach everything that counts."""
    members = {way[-1] for _, way, _ in MEMBERS}
    assert members >= {
        "rawBytes",
        "signedEntryTimestamp",
        "rootHash",
        "canonicalizedBody",
        "signedTimestamp",
        "signature",
        "sig",
        "payload",
    }
    assert json.loads(GOOD["bytes"].payload) == DOCUMENTS["bytes"]
