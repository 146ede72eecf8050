# SPDX-License-Identifier: MIT
"""What is tried again: bounded in number and time whatever the server says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.net.retry import RULES, TEMPORARY_CODES, TEMPORARY_STATUSES, pause_after_error, pause_after_status


def after(status: int, retry_after: str | None = None, *, tried: int = 1, chance: float = 0.5) -> float | None:
    return pause_after_status(RULES, tried=tried, status=status, retry_after=retry_after, chance=chance)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 405, 413, 416, 501])
def test_what_does_not_pass(status: int) -> None:
    assert after(status) is None


@pytest.mark.parametrize(
    "code", ["net.too-slow", "net.certificate", "net.too-large", "net.protocol", "oci.blob.digest"]
)
def test_what_stays_as_it_is(code: str) -> None:
    assert pause_after_error(RULES, tried=1, code=code, chance=0.5) is None


def test_pauses_grow_to_a_bound_and_end() -> None:
    pauses = [after(503, tried=tried, chance=0.999) for tried in range(1, RULES.tries)]
    assert [round(pause or 0) for pause in pauses] == [1, 2, 4, 8]
    assert after(503, tried=RULES.tries) is None
    assert pause_after_error(RULES, tried=RULES.tries, code="net.lost", chance=0.5) is None


def test_a_server_may_ask_for_time_but_not_for_ever() -> None:
    assert after(429, "7", chance=0) == 7
    assert after(429, "999999999999999", chance=0) == RULES.most_hint_s
    for nonsense in ("", "-1", "soon", "1e9", "٣", "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert after(429, nonsense, chance=0) == 0


@given(
    st.sampled_from(sorted(TEMPORARY_STATUSES)),
    st.none() | st.text(max_size=30),
    st.integers(1, 10**6),
    st.floats(0, 1, exclude_max=True),
)
def test_always_bounded(status: int, hint: str | None, tried: int, chance: float) -> None:
    pause = after(status, hint, tried=tried, chance=chance)
    assert (pause is None) == (tried >= RULES.tries)
    assert pause is None or 0 <= pause <= RULES.most_s + RULES.most_hint_s


def test_connections_that_were_lost() -> None:
    for code in TEMPORARY_CODES:
        assert pause_after_error(RULES, tried=1, code=code, chance=0.5) == 0.5
