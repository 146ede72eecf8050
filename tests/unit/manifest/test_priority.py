# SPDX-License-Identifier: MIT
"""The number that orders modules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import OperatorError
from powernode.manifest.priority import effective_priority


def test_the_formula() -> None:
    assert effective_priority(category_position=350, priority=50) == 350050
    assert effective_priority(category_position=0, priority=0) == 0
    assert effective_priority(category_position=1, priority=999) == 1999


@given(st.tuples(st.integers(0, 500), st.integers(0, 999)), st.tuples(st.integers(0, 500), st.integers(0, 999)))
def test_the_category_always_counts_more(one: tuple[int, int], other: tuple[int, int]) -> None:
    numbers = [effective_priority(category_position=position, priority=priority) for position, priority in (one, other)]
    assert (numbers[0] < numbers[1]) == (one < other)


@pytest.mark.parametrize("priority", [-1, 1000, 1500])
def test_no_priority_reaches_another_category(priority: int) -> None:
    with pytest.raises(OperatorError) as caught:
        effective_priority(category_position=350, priority=priority)
    assert caught.value.code == "priority.range"
    assert caught.value.found == str(priority)


def test_a_negative_position_is_refused() -> None:
    with pytest.raises(OperatorError) as caught:
        effective_priority(category_position=-1, priority=0)
    assert caught.value.code == "priority.category-position"


@pytest.mark.parametrize("value", [True, 1.0, "5", None])
def test_only_integers_count(value: object) -> None:
    for arguments in ({"category_position": value, "priority": 0}, {"category_position": 0, "priority": value}):
        with pytest.raises(OperatorError) as caught:
            effective_priority(**arguments)  # type: ignore[arg-type]
        assert caught.value.code == "priority.type"
