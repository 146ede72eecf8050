# SPDX-License-Identifier: MIT
"""What may be tried again, and when: rules as data.

Invariants: the number of tries and every pause are bounded, whatever a server asks for; pauses have full jitter, so
that a thousand nodes that lost one server do not come back together. What a second try cannot change (a refusal, a
certificate, a server that drips) is not tried again.

Out of scope: whether a request does harm when it is carried out twice; a Retry-After that is a date.

    pause = pause_after_status(RULES, tried=1, status=503, retry_after="7", chance=random())   # seconds, or None
    pause = pause_after_error(RULES, tried=1, code="net.lost", chance=random())
"""

from __future__ import annotations

from powernode.base.values import Value

__all__ = ["RULES", "TEMPORARY_CODES", "TEMPORARY_STATUSES", "Rules", "pause_after_error", "pause_after_status"]

TEMPORARY_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))
TEMPORARY_CODES = frozenset(("net.lost", "net.timeout", "net.truncated", "net.unreachable"))


class Rules(Value):
    """`tries` in all; pauses grow from `base_s` to `most_s`; a server may ask for `most_hint_s` at the most."""

    __slots__ = ("base_s", "most_hint_s", "most_s", "tries")

    def __init__(self, *, tries: int = 5, base_s: float = 0.5, most_s: float = 15, most_hint_s: float = 60) -> None:
        self.tries = tries
        self.base_s = base_s
        self.most_s = most_s
        self.most_hint_s = most_hint_s


RULES = Rules()


def pause_after_status(
    rules: Rules, *, tried: int, status: int, retry_after: str | None, chance: float
) -> float | None:
    """How long to wait before the next try, after `tried` tries; None for no more. `chance` is in [0, 1)."""
    if status not in TEMPORARY_STATUSES or tried >= rules.tries:
        return None
    return _hint(rules, retry_after) + _jitter(rules, tried, chance)


def pause_after_error(rules: Rules, *, tried: int, code: str, chance: float) -> float | None:
    if code not in TEMPORARY_CODES or tried >= rules.tries:
        return None
    return _jitter(rules, tried, chance)


def _jitter(rules: Rules, tried: int, chance: float) -> float:
    return chance * min(rules.most_s, rules.base_s * 2.0 ** min(tried, 30))


def _hint(rules: Rules, retry_after: str | None) -> float:
    text = (retry_after or "").strip()
    if not (text.isascii() and text.isdigit()):
        return 0.0
    return min(float(text[:9]), rules.most_hint_s)
