# SPDX-License-Identifier: MIT
"""A value that is not shown: printing, formatting and reports give `[redacted]`, only `reveal()` gives the text.

Invariants: no conversion of a Secret yields its text, pickling and copying are refused. Out of scope: wiping memory.

    token = Secret("s3cret")
    f"{token}", token.reveal()      # ("[redacted]", "s3cret")
"""

from __future__ import annotations

REDACTED = "[redacted]"


class Secret:
    """Compares and hashes by its text, so that values that hold one can be compared."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError("a secret is not serialised")
