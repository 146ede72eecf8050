# SPDX-License-Identifier: MIT
"""What the merge asks of a list of globs, so that composefs needs no knowledge of their syntax.

A matcher is walked from the root down, one name at a time; a state belongs to one directory and is never changed.
`None` instead of a state: nothing below can match. `everything`: all of it does, so no further step is needed.

Out of scope: compiling; `powernode.manifest.globs` does, and satisfies these by shape alone.

    state = matcher.start()
    matched, below = state.step(b"etc", True)
"""

from __future__ import annotations

from typing import Protocol


class MatchState(Protocol):
    """How far the patterns have come at one directory."""

    @property
    def everything(self) -> bool:
        """Whatever is below matches."""

    def step(self, name: bytes, is_directory: bool, /) -> tuple[bool, MatchState | None]:
        """Does the child match, and, for a directory, the state below it."""


class PathMatcher(Protocol):
    """A list of globs."""

    def start(self) -> MatchState | None:
        """The state at the root directory."""


class _Covered:
    """Below a directory that was taken away as a whole: everything matches."""

    __slots__ = ()
    everything = True

    def step(self, name: bytes, is_directory: bool, /) -> tuple[bool, MatchState | None]:
        return True, self if is_directory else None


COVERED: MatchState = _Covered()
