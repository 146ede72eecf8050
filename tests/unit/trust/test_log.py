# SPDX-License-Identifier: MIT
"""Merkle trees and checkpoints, against RFC 6962 written out slowly."""

from __future__ import annotations

import pytest

from powernode.base.errors import DataError
from powernode.trust import checkpoint, merkle
from powernode.trust.root import Log
from unit.trust._parties import START, b64
from unit.trust._world import World, path, root

SIZES = (*range(1, 18), 31, 32, 33, 100)


def leaves(size: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(size)]


def walked(entry: bytes, index: int, size: int, hashes: list[bytes]) -> bytes | None:
    try:
        return merkle.root_of(merkle.leaf_hash(entry), index=index, size=size, hashes=hashes)
    except DataError as error:
        if error.code != "trust.log.proof":
            raise
        return None


@pytest.mark.parametrize("size", SIZES)
def test_every_place_in_trees(size: int) -> None:
    entries = leaves(size)
    expected = root(entries)
    for index in range(size):
        hashes = path(index, entries)
        assert walked(entries[index], index, size, hashes) == expected
        for wrong in range(size):
            if wrong != index:
                assert walked(entries[index], wrong, size, hashes) != expected
                assert walked(entries[wrong], index, size, hashes) != expected
        for other in ([*hashes, bytes(32)], hashes[:-1], [bytes(32), *hashes], hashes[::-1]):
            if other != hashes:
                assert walked(entries[index], index, size, other) != expected


@pytest.mark.parametrize(
    ("index", "size", "hashes"),
    [
        (-1, 1, []),
        (1, 1, []),
        (0, 0, []),
        (0, 2, []),
        (0, 1, [bytes(32)]),
        (0, 2, [bytes(31)]),
        (0, 1 << 64, [bytes(32)] * 64),
    ],
)
def test_proofs_that_cannot_be(index: int, size: int, hashes: list[bytes]) -> None:
    assert walked(b"x", index, size, hashes) is None


def test_a_node_is_no_leaf() -> None:
    """The second-preimage attack that the two prefixes are there for."""
    entries = leaves(4)
    inner = root(entries[:1]) + root(entries[1:2])
    assert walked(inner, 0, 2, [root(entries[2:])]) != root(entries)


def log(world: World) -> Log:
    return world.trust_root().logs[0]


def test_checkpoint(world: World) -> None:
    text = world.log.checkpoint(leaves(5))
    read = checkpoint.verify(text, log(world))
    assert (read.size, read.root_hash) == (5, root(leaves(5)))
    witness = f"— witness.example.org {b64(bytes(100))}\n"
    body, _, signature = text.partition("\n\n")
    assert checkpoint.verify(f"{body}\n\n{witness}{signature}", log(world)) == read
    assert checkpoint.verify(f"{body}\n\n{signature}{witness}", log(world)) == read


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n\n", "\n"),
        ("\n5\n", "\n6\n"),
        ("\n5\n", "\n05\n"),
        ("\n5\n", "\n-5\n"),
        ("\n5\n", "\n"),
        ("\n5\n", "\n\N{FULLWIDTH DIGIT FIVE}\n"),
        ("\n5\n", "\n5\nanother line\n"),
        ("\n5\n", "\n5\n\n"),
        ("rekor.example.org - 4711", "rekor.example.org.evil.com - 4711"),
        ("rekor.example.org - 4711", "rekor.example.org"),
        ("— rekor.example.org ", "— rekor.example.com "),
        ("— rekor.example.org ", "- rekor.example.org "),
        ("— rekor.example.org ", "rekor.example.org "),
        ("— rekor.example.org ", "— "),
        ("— ", "— ?\n— "),
        ("=\n", "\n"),
    ],
)
def test_changed_checkpoint(world: World, old: str, new: str) -> None:
    text = world.log.checkpoint(leaves(5))
    assert old in text
    with pytest.raises(DataError) as refusal:
        checkpoint.verify(text.replace(old, new), log(world))
    assert refusal.value.code == "trust.log.checkpoint"


def test_checkpoint_that_is_too_much(world: World) -> None:
    text = world.log.checkpoint(leaves(5))
    for more in (text + "— x AAAA\n" * 32, text + "— x AAAA\n" * 4000):
        with pytest.raises(DataError) as refusal:
            checkpoint.verify(more, log(world))
        assert refusal.value.code == "trust.log.checkpoint"


def test_key_hint_of_another_key(world: World) -> None:
    """The signature is right, but it is announced as another key's."""
    other = Log(origin="rekor.example.org", log_id=bytes(32), key=log(world).key, start=START)
    with pytest.raises(DataError) as refusal:
        checkpoint.verify(world.log.checkpoint(leaves(5)), other)
    assert refusal.value.code == "trust.log.checkpoint"


@pytest.mark.parametrize("first", ["other.example.org", "rekor.example.org.evil.com - 1", "rekor.example.org -1"])
def test_checkpoint_of_another_origin_by_the_same_key(world: World, first: str) -> None:
    """A key that serves two logs does not make one of them."""
    with pytest.raises(DataError) as refusal:
        checkpoint.verify(world.log.checkpoint(leaves(5), first), log(world))
    assert refusal.value.code == "trust.log.checkpoint"
