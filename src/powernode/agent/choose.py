# SPDX-License-Identifier: MIT
"""Which boot set is tried, in which order, and why. Pure: facts in, candidates out.

The order: the pending set while it has attempts left, the last known good one, the base that the image brought along.
Each is tried until one boots; what is left out is told with its reason.

Out of scope: whether a candidate may boot at all (`verify`), counting attempts (`sets`).

    choice = choose(Facts(pending="ab…", attempts=0, good="cd…", base=None, max_attempts=3))
    [candidate.kind for candidate in choice.candidates]     # ["pending", "good"]
"""

from __future__ import annotations

from powernode.base.values import Value

__all__ = ["Candidate", "Choice", "Facts", "choose"]


class Facts(Value):
    """Sets by the SHA-256 of their bytes; None where there is none. `attempts` are those of the pending set."""

    __slots__ = ("attempts", "base", "good", "max_attempts", "pending")

    def __init__(
        self, *, pending: str | None, attempts: int, good: str | None, base: str | None, max_attempts: int
    ) -> None:
        self.pending = pending
        self.attempts = attempts
        self.good = good
        self.base = base
        self.max_attempts = max_attempts


class Candidate(Value):
    """A set to try, or one that was left out; `kind` is pending, good or base."""

    __slots__ = ("kind", "reason", "set_id")

    def __init__(self, *, kind: str, set_id: str, reason: str) -> None:
        self.kind = kind
        self.set_id = set_id
        self.reason = reason


class Choice(Value):
    """`candidates` in the order in which they are tried."""

    __slots__ = ("candidates", "left_out")

    def __init__(self, *, candidates: tuple[Candidate, ...], left_out: tuple[Candidate, ...]) -> None:
        self.candidates = candidates
        self.left_out = left_out


def choose(facts: Facts) -> Choice:
    candidates: list[Candidate] = []
    left_out: list[Candidate] = []

    def pick(to: list[Candidate], kind: str, set_id: str, reason: str) -> None:
        to.append(Candidate(kind=kind, set_id=set_id, reason=reason))

    if facts.pending is not None:
        if facts.pending == facts.good:
            pick(left_out, "pending", facts.pending, "confirmed already: it is the last known good set")
        elif facts.attempts >= facts.max_attempts:
            pick(left_out, "pending", facts.pending, f"all {facts.max_attempts} attempts are used up")
        else:
            reason = f"a new set, attempt {facts.attempts + 1} of {facts.max_attempts}"
            pick(candidates, "pending", facts.pending, reason)
    if facts.good is not None:
        pick(candidates, "good", facts.good, "the last known good set")
    if facts.base is not None:
        pick(candidates, "base", facts.base, "the base in this image")
    return Choice(candidates=tuple(candidates), left_out=tuple(left_out))
