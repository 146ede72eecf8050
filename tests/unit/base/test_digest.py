# SPDX-License-Identifier: MIT
"""A digest reads and writes itself, refuses what is none, and compares by algorithm and value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.digest import SIZES, Digest
from powernode.base.errors import DataError

EMPTY = "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"
DIGESTS = st.sampled_from(sorted(SIZES)).flatmap(
    lambda name: st.binary(min_size=SIZES[name], max_size=SIZES[name]).map(lambda value: Digest(name, value))
)


@given(DIGESTS)
def test_text_and_back(digest: Digest) -> None:
    assert Digest.parse(str(digest)) == digest
    assert Digest.parse(digest.hex) == digest
    assert eval(repr(digest), {"Digest": Digest}) == digest
    assert str(digest) == f"{digest.algorithm}:{digest.hex}"


def test_object_path() -> None:
    path = Digest.parse(EMPTY).object_path
    assert path == b"3d/248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"


def test_upper_case_is_the_same_digest() -> None:
    assert Digest.parse("sha256:" + EMPTY.upper()) == Digest.parse(EMPTY)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "digest.text"),
        ("sha256:", "digest.text"),
        (":" + EMPTY, "digest.size"),
        ("sha256:zz", "digest.text"),
        (EMPTY[:-1], "digest.text"),
        (EMPTY[:-2], "digest.size"),
        (EMPTY + "00", "digest.size"),
        ("sha512:" + EMPTY, "digest.size"),
        ("sha256:" + EMPTY * 2, "digest.size"),
        ("sha1:" + EMPTY, "digest.size"),
        ("SHA256:" + EMPTY, "digest.size"),
        (EMPTY + "\n", "digest.text"),
        (" " + EMPTY, "digest.text"),
        ("sha256: " + EMPTY, "digest.text"),
        (EMPTY[:2] + " " + EMPTY[2:], "digest.text"),
        (EMPTY[:-1] + "\N{ARABIC-INDIC DIGIT FIVE}", "digest.text"),
        ("sha256:sha256:" + EMPTY, "digest.size"),
    ],
)
def test_what_is_no_digest(text: str, code: str) -> None:
    with pytest.raises(DataError) as refusal:
        Digest.parse(text)
    assert refusal.value.code == code


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(DataError) as refusal:
        Digest.parse("x" * 10_000)
    assert refusal.value.found is not None
    assert len(refusal.value.found) < 200


@pytest.mark.parametrize(("algorithm", "size"), [("sha256", 31), ("sha256", 64), ("sha512", 32), ("md5", 16), ("", 0)])
def test_the_size_belongs_to_the_algorithm(algorithm: str, size: int) -> None:
    with pytest.raises(DataError) as refusal:
        Digest(algorithm, bytes(size))
    assert refusal.value.code == "digest.size"
    assert refusal.value.expected == "32 bytes of sha256, 64 bytes of sha512"


def test_equality_and_hash() -> None:
    one, same, other = Digest("sha256", bytes(32)), Digest("sha256", bytes(32)), Digest("sha512", bytes(64))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != bytes(32)
    assert len({one, same, other}) == 2
