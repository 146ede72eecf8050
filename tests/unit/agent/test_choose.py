# SPDX-License-Identifier: MIT
"""Which set is tried, in which order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.choose import Facts, choose

IDS = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
FACTS = st.builds(
    Facts,
    pending=st.none() | IDS,
    attempts=st.integers(0, 5),
    good=st.none() | IDS,
    base=st.none() | IDS,
    max_attempts=st.integers(1, 4),
)
ORDER = ("pending", "good", "base")


@given(FACTS)
def test_every_set_is_tried_or_left_out_for_a_reason(facts: Facts) -> None:
    choice = choose(facts)
    told = [(each.kind, each.set_id) for each in (*choice.candidates, *choice.left_out)]
    there = [(kind, getattr(facts, kind)) for kind in ORDER if getattr(facts, kind) is not None]
    assert sorted(told) == sorted(there)
    assert all(each.reason for each in (*choice.candidates, *choice.left_out))


@given(FACTS)
def test_the_order_is_pending_good_base(facts: Facts) -> None:
    kinds = [candidate.kind for candidate in choose(facts).candidates]
    assert kinds == sorted(kinds, key=ORDER.index)


@given(FACTS)
def test_only_pending_is_ever_left_out(facts: Facts) -> None:
    choice = choose(facts)
    tried = "pending" in [candidate.kind for candidate in choice.candidates]
    wanted = facts.pending is not None and facts.pending != facts.good and facts.attempts < facts.max_attempts
    assert tried == wanted
    assert {each.kind for each in choice.left_out} <= {"pending"}


def test_reasons() -> None:
    choice = choose(Facts(pending="p", attempts=2, good="g", base="b", max_attempts=3))
    assert [each.reason for each in choice.candidates] == [
        "a new set, attempt 3 of 3",
        "the last known good set",
        "the base in this image",
    ]
    confirmed = choose(Facts(pending="g", attempts=0, good="g", base=None, max_attempts=3))
    assert [each.reason for each in confirmed.left_out] == ["confirmed already: it is the last known good set"]
