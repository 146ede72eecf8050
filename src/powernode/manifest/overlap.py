# SPDX-License-Identifier: MIT
"""What two lists of globs say about each other, whatever files there are: is all of one in the other, have they a path
in common.

Both lists run side by side as the machines that match with them, over every path there could be: bytes that no glob
tells apart are tried once, and a pair of states is visited once. So the answers are exact; where the patterns make
more than `MAX_STATES` pairs of states, `covers` answers no and `overlaps` yes: nothing is claimed that was not shown.
Who asks about each glob of a long list gives all questions one `Effort`: when it is used up, the answers are the same.

`covers` sees the second list as what is taken away (a `mask`, another module's `protected_spec`): a directory it
matches goes with all below it.

    covers(["/etc/**"], by=["/etc/"])                   # True
    overlaps(["/etc/*.conf"], ["/etc/redis**"])         # True: /etc/redis.conf
    effort = Effort()
    [glob for glob in globs if covers([glob], by=mask, effort=effort)]; effort.is_used_up
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from powernode.base.errors import DataError
from powernode.manifest._globmachine import Machine, Places
from powernode.manifest._globsyntax import SLASH, parse_glob
from powernode.manifest.globs import GlobSet, compile_globs

__all__ = ["Effort", "covers", "overlaps"]

MAX_STATES = 20_000
MAX_STEPS = 10_000_000
"""A few seconds."""

_NOTHING, _SLASH, _NAME = range(3)
"""What the path ends in so far."""

_State = tuple[int, bool, int, bool, int]
"""Places of the first list and whether all below matches, the same of the second, and what the path ends in."""


@dataclass(slots=True)
class Effort:
    """What a series of questions may still cost, in bytes of paths that are tried."""

    steps: int = MAX_STEPS

    @property
    def is_used_up(self) -> bool:
        return self.steps <= 0

    def spend(self, steps: int) -> bool:
        """Is there still enough?"""
        self.steps -= steps
        return self.steps > 0


def covers(globs: Sequence[str], *, by: Sequence[str], effort: Effort | None = None) -> bool:
    """Is every path that `globs` match also matched, or below what is matched, by `by`?"""
    effort = effort or Effort()
    paths, patterns = _split(tuple(globs))
    if not effort.spend(_cost(paths)):
        return False
    taking = _compiled(tuple(by))
    if not all(_takes(taking, path) for path in paths):
        return False
    return not patterns or _find(patterns, tuple(by), effort, takes_away=True) is False


def overlaps(one: Sequence[str], other: Sequence[str], *, effort: Effort | None = None) -> bool:
    """Is there a path that both match?"""
    effort = effort or Effort()
    (paths, patterns), (other_paths, other_patterns) = _split(tuple(one)), _split(tuple(other))
    if not effort.spend(_cost(paths) + (_cost(other_paths) if patterns else 0)):
        return True
    if _match_any(tuple(other), paths) or (patterns and _match_any(patterns, other_paths)):
        return True
    return bool(patterns and other_patterns) and _find(patterns, other_patterns, effort, takes_away=False) is not False


@lru_cache(maxsize=8)
def _split(globs: tuple[str, ...]) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Those that are one path, which need no search however many there are, and those that are patterns."""
    paths, patterns = [], []
    for glob in map(parse_glob, dict.fromkeys(globs)):
        if glob.subtree or not all(isinstance(element, int) for element in glob.elements):
            patterns.append(glob.text)
        else:
            paths.append(bytes(element for element in glob.elements if isinstance(element, int)))
    return tuple(paths), tuple(patterns)


def _cost(paths: Sequence[bytes]) -> int:
    return 4 * len(paths)


def _match_any(globs: tuple[str, ...], paths: Iterable[bytes]) -> bool:
    compiled = _compiled(globs)
    return any(compiled.matches(path, is_directory=kind) for path in paths for kind in (False, True))


def _takes(globs: GlobSet, path: bytes) -> bool:
    """Is a file of this path matched, or a directory that it is in?"""
    parents = (path[:at] for at in range(1, len(path)) if path[at] == SLASH)
    return globs.matches(path) or any(globs.matches(parent, is_directory=True) for parent in parents)


def _find(one: tuple[str, ...], other: tuple[str, ...], effort: Effort, *, takes_away: bool) -> bool | None:
    """Is there a path of `one` that is (or, of what is taken away, is not) of `other`? None: too much to search."""
    try:
        first, second = _machine(one), _machine(other)
    except DataError:
        return None  # glob.too-many: each of them can be read, so it is all together
    # Long machines are slower, by the words of their integers.
    alphabet, step = _alphabet(one, other), 1 + (first.accept.bit_length() + second.accept.bit_length() >> 10)
    effort.spend(len(one) + len(other))
    # The root directory itself is no path that globs match; below it every glob is at its first slash.
    start: _State = (first.start.bits, False, second.start.bits, False, _NOTHING)
    pending, seen = [(start, first.start, second.start)], {start}
    while pending:
        (_, all_first, _, all_second, end), here, there = pending.pop()
        if end == _NAME:
            for is_directory in (False, True):
                in_first = all_first or _matches(first, here, is_directory)
                in_second = all_second or _matches(second, there, is_directory)
                if in_first and in_second is not takes_away:
                    return True
        if not effort.spend(step * len(alphabet)):
            return None
        for byte in [SLASH] if end == _NOTHING else alphabet[1:] if end == _SLASH else alphabet:
            whole_first, whole_second = all_first, all_second
            if byte == SLASH and end == _NAME:
                whole_first |= bool(here.bits & first.subtree)
                whole_second |= bool(there.bits & (second.subtree | (second.accept if takes_away else 0)))
            then, other_then = here[byte], there[byte]
            if not (then.bits or whole_first) or not (takes_away or other_then.bits or whole_second):
                continue
            state = (then.bits, whole_first, other_then.bits, whole_second, _SLASH if byte == SLASH else _NAME)
            if state not in seen:
                if len(seen) >= MAX_STATES:
                    return None
                seen.add(state)
                pending.append((state, then, other_then))
    return False


@lru_cache(maxsize=8)
def _compiled(globs: tuple[str, ...]) -> GlobSet:
    return compile_globs(globs)


@lru_cache(maxsize=8)
def _machine(globs: tuple[str, ...]) -> Machine:
    parsed = [parse_glob(glob) for glob in dict.fromkeys(globs)]
    # `/` is the subtree of no elements, matched at the first slash; as a pattern it is everything below that.
    everything = parse_glob("/**")
    return Machine((glob.elements or everything.elements, glob.subtree and bool(glob.elements)) for glob in parsed)


def _matches(machine: Machine, places: Places, is_directory: bool) -> bool:
    return bool(places.bits & (machine.accept | (machine.subtree if is_directory else 0)))


def _alphabet(one: tuple[str, ...], other: tuple[str, ...]) -> list[int]:
    """The slash, and one byte of every set of bytes that no glob tells apart; NUL is in no name."""
    groups = [frozenset(range(1, 256)) - {SLASH}]
    for element in _told_apart(one) | _told_apart(other):
        groups = [part for group in groups for part in (group & element, group - element) if part]
    return [SLASH, *(min(group) for group in groups)]


@lru_cache(maxsize=8)
def _told_apart(globs: tuple[str, ...]) -> frozenset[frozenset[int]]:
    """The sets of bytes that the globs name."""
    elements = {element for glob in globs for element in parse_glob(glob).elements if element != SLASH}
    sets = (frozenset((element,)) if isinstance(element, int) else element for element in elements)
    return frozenset(element for element in sets if isinstance(element, frozenset))
