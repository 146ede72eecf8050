# SPDX-License-Identifier: MIT
"""One spelling out, no ambiguity in: every way in which two JSON readers could disagree has its own refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base import canonical
from powernode.base.errors import DataError

INT64 = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | INT64 | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


class Loud(str):
    """A string that JSON writers would print as something else."""

    __slots__ = ()


def read(data: bytes, **limits: int) -> Any:
    return canonical.decode(data, what="the test", **{"max_bytes": 1 << 16, **limits})


@given(VALUES)
def test_there_and_back(value: Any) -> None:
    data = canonical.encode(value, max_depth=40)
    assert read(data, max_depth=40) == value
    assert data.isascii()
    assert canonical.encode(read(data, max_depth=40), max_depth=40) == data


@given(VALUES)
def test_white_space_and_order_do_not_matter_to_the_reader(value: Any) -> None:
    loose = json.dumps(value, indent=1, ensure_ascii=False).encode()
    assert canonical.encode(read(loose, max_depth=40), max_depth=40) == canonical.encode(value, max_depth=40)


def test_the_spelling() -> None:
    value = {"b": [1, None, True, -0], "a": 'é\n"\u2028', "Z": {}, "": "\U0001f600"}
    expected = rb'{"":"\ud83d\ude00","Z":{},"a":"\u00e9\n\"\u2028","b":[1,null,true,0]}'
    assert canonical.encode(value) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("empty", b"", "json.syntax"),
        ("two values", b"1 2", "json.syntax"),
        ("trailing comma", b"[1,]", "json.syntax"),
        ("single quotes", b"{'a':1}", "json.syntax"),
        ("comment", b"1 // one", "json.syntax"),
        ("raw newline in a string", b'"a\nb"', "json.syntax"),
        ("leading zero", b"01", "json.syntax"),
        ("byte order mark", b"\xef\xbb\xbf1", "json.syntax"),
        ("utf-16", '"a"'.encode("utf-16-le"), "json.syntax"),
        ("latin-1", b'"\xe9"', "json.utf8"),
        ("overlong utf-8", b'"\xc0\xaf"', "json.utf8"),
        ("encoded surrogate", b'"\xed\xa0\x80"', "json.utf8"),
        ("half a pair", rb'"\ud83d"', "json.surrogate"),
        ("half a pair in a key", rb'{"\udc00":1}', "json.surrogate"),
        ("key twice", b'{"a":1,"b":2,"a":1}', "json.duplicate-key"),
        ("key twice, deep", b'[{"x":{"a":1,"\\u0061":2}}]', "json.duplicate-key"),
        ("float", b"1.0", "json.float"),
        ("exponent", b"1e3", "json.float"),
        ("NaN", b"NaN", "json.float"),
        ("infinity", b"-Infinity", "json.float"),
        ("2^63", b"9223372036854775808", "json.integer"),
        ("below -2^63", b"-9223372036854775809", "json.integer"),
        ("5000 digits", b"1" * 5000, "json.integer"),
        ("17 deep", b"[" * 17 + b"]" * 17, "json.depth"),
        ("17 deep in objects", b'{"":' * 17 + b"1" + b"}" * 17, "json.depth"),
        ("30000 deep", b"[" * 30000 + b"]" * 30000, "json.depth"),
        ("too long", b" " * 65536 + b"1", "json.size"),
    ],
)
def test_refused(name: str, data: bytes, code: str) -> None:
    with pytest.raises(DataError) as refusal:
        read(data)
    assert refusal.value.code == code, name
    assert "the test" in str(refusal.value)


def test_the_limits_themselves_are_allowed() -> None:
    assert read(b"[" * 16 + b"]" * 16) is not None
    assert read(b"-9223372036854775808") == -(1 << 63)
    assert read(b" " * 65535 + b"1") == 1


def test_many_members_with_the_same_name_are_refused_quickly() -> None:
    names = b",".join(b'"%d":1' % number for number in range(5000))
    with pytest.raises(DataError) as refusal:
        read(b"{" + names + b',"4999":1}')
    assert refusal.value.code == "json.duplicate-key"


@given(st.binary(max_size=60))
def test_nothing_but_a_value_or_a_refusal(data: bytes) -> None:
    try:
        value = read(data)
    except DataError:
        return
    assert read(canonical.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1.0, "json.float"),
        ([float("nan")], "json.float"),
        ((1, 2), "json.type"),
        ({1: 2}, "json.type"),
        (b"x", "json.type"),
        (Loud("x"), "json.type"),
        ({"a": {"b": {1, 2}}}, "json.type"),
        (1 << 63, "json.integer"),
        ("\ud800", "json.surrogate"),
    ],
)
def test_what_has_no_spelling_is_not_written(value: Any, code: str) -> None:
    with pytest.raises(DataError) as refusal:
        canonical.encode(value)
    assert refusal.value.code == code


def test_a_circle_ends() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(DataError) as refusal:
        canonical.encode(circle)
    assert refusal.value.code == "json.depth"


def test_values_are_limited_before_they_are_made() -> None:
    assert canonical.decode(b"[1,2,[3]]", what="it", max_bytes=100, max_values=4) == [1, 2, [3]]
    with pytest.raises(DataError) as caught:
        canonical.decode(b"[{},{},{}]", what="it", max_bytes=100, max_values=5)
    assert caught.value.code == "json.values"
