# SPDX-License-Identifier: MIT
"""The kernel command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.linux.cmdline import parse


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", []),
        ("quiet ro\n", [("quiet", None), ("ro", None)]),
        ("console=ttyS0,115200  console=tty1", [("console", "ttyS0,115200"), ("console", "tty1")]),
        ('a="b c" d', [("a", "b c"), ("d", None)]),
        ('"a=b c" d', [("a", "b c"), ("d", None)]),
        ("a= b==c", [("a", ""), ("b", "=c")]),
        ('a="open to the end', [("a", "open to the end")]),
        ("a -- b=1", [("a", None)]),
        ("a\tb", [("a", None), ("b", None)]),
        ("a=1\0\n", [("a", "1")]),
    ],
)
def test_words(text: str, parameters: list[tuple[str, str | None]]) -> None:
    assert parse(text).parameters == parameters


def test_values() -> None:
    line = parse("powernode.boot=1 x powernode.y=2 powernode.y=2")
    assert line.get("powernode.boot") == "1"
    assert line.get("x") == ""
    assert line.get("powernode.y") == "2"
    assert line.get("absent") is None
    assert line.keys("powernode.") == ["powernode.boot", "powernode.y"]


def test_two_values_are_none() -> None:
    with pytest.raises(DataError) as caught:
        parse("powernode.root_digest=a powernode.root_digest=b").get("powernode.root_digest")
    assert caught.value.code == "linux.cmdline.conflict"


@given(st.lists(st.tuples(st.from_regex(r"\A[a-z._]+\Z"), st.from_regex(r"\A[a-z0-9= ]*\Z")), max_size=6))
def test_what_is_quoted_comes_back(pairs: list[tuple[str, str]]) -> None:
    text = " ".join(f'{key}="{value}"' for key, value in pairs)
    assert parse(text).parameters == pairs
