# SPDX-License-Identifier: MIT
"""What people see of strangers' text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.text import clean


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ü", "plain ü"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        (b"\xff\x9b2J", "\\xff\\x9b2J"),
    ],
)
def test_nothing_a_terminal_would_act_on(text: str | bytes, seen: str) -> None:
    assert clean(text) == seen


def test_lines_stay_where_they_are_meant() -> None:
    assert clean("one\n\ttwo\x1b[2J\r", lines=True) == "one\n\ttwo\\x1b[2J\\r"


@given(st.text() | st.binary())
def test_always_printable(text: str | bytes) -> None:
    assert clean(text).isprintable()
