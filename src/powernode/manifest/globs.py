# SPDX-License-Identifier: MIT
"""The one glob implementation: a list of patterns, compiled for walking a tree from the top down.

Semantics are rsync's, anchored at `/`: `*`, `?` and `[...]` stay within a name, `**` crosses `/`, a trailing `/` means
a directory and everything below it, `\\` takes the next character literally; docs/formats/globs.md has the table.
Paths are bytes, never decoded. A directory that holds an included path is kept too, but that is for the walker to do
(it alone knows what exists); a pattern itself says nothing about parents.

Invariants: a walk costs time linear in the bytes of the names it visits, for any patterns (see `_globmachine`); a
state is immutable, so it can be kept for a directory and used for each child. `None` as a state means that nothing
below can match, so the walker may skip the subtree; `everything` means that all of it does.

Out of scope: what a match means (`file_spec`, `mask`, ...): the merge.

    matcher = compile_globs(["/etc/redis/**", "/var/lib/redis/.gitkeep"])
    matcher.matches(b"/etc/redis/redis.conf")      # True
"""

from __future__ import annotations

from collections.abc import Iterable

from powernode.base.errors import DataError
from powernode.manifest._globmachine import Machine, Places
from powernode.manifest._globsyntax import SLASH, Element, Glob, parse_glob

__all__ = ["Glob", "GlobSet", "GlobState", "compile_globs", "parse_glob"]

MAX_GLOBS = 100_000
"""More than any package lists files; guards memory, not time."""


class _Branch:
    """A directory named literally by some pattern: whole names are looked up, so long file lists stay cheap."""

    __slots__ = ("accept", "branches", "machine", "subtree", "tails")

    def __init__(self) -> None:
        self.branches: dict[bytes, _Branch] = {}
        self.accept = False
        self.subtree = False
        self.tails: list[tuple[tuple[Element, ...], bool]] = []
        self.machine: Machine | None = None


class GlobState:
    """How far the patterns have come at one directory."""

    __slots__ = ("_branch", "_running", "everything")

    def __init__(self, branch: _Branch | None, running: tuple[tuple[Machine, Places], ...], everything: bool) -> None:
        self._branch = branch
        self._running = running
        self.everything = everything

    def step(self, name: bytes, is_directory: bool) -> tuple[bool, GlobState | None]:
        """Does the child match, and, for a directory, the state below it."""
        if self.everything:
            return True, self if is_directory else None
        matched = covered = False
        branch = None
        if self._branch is not None:
            branch = self._branch.branches.get(name)
            if branch is not None:
                covered = is_directory and branch.subtree
                matched = branch.accept or covered
        following: list[tuple[Machine, Places]] = []
        for machine, places in self._running:
            reached = machine.feed(places, name)
            bits = reached.bits
            if not bits:
                continue
            if bits & machine.accept:
                matched = True
            if is_directory:
                if bits & machine.subtree:
                    matched = covered = True
                below = reached[SLASH]
                if below.bits:
                    following.append((machine, below))
        if not is_directory:
            return matched, None
        return matched, _EVERYTHING if covered else _state(branch, following)


_EVERYTHING = GlobState(None, (), True)


def _state(branch: _Branch | None, running: list[tuple[Machine, Places]]) -> GlobState | None:
    if branch is not None and branch.machine is not None:
        running.append((branch.machine, branch.machine.start))
    for machine, places in running:
        if places.bits & machine.rest:
            return _EVERYTHING
    if branch is not None and not branch.branches:
        branch = None
    if branch is None and not running:
        return None
    return GlobState(branch, tuple(running), False)


class GlobSet:
    """A compiled list; matches what any of its patterns matches."""

    __slots__ = ("_start", "globs")

    def __init__(self, globs: tuple[Glob, ...]) -> None:
        self.globs = globs
        root = _Branch()
        holders: dict[int, _Branch] = {}
        for glob in globs:
            holder = _plant(root, glob)
            holders[id(holder)] = holder
        for holder in holders.values():
            if holder.tails:
                holder.machine = Machine(holder.tails)
        self._start = _EVERYTHING if root.subtree else _state(root, [])

    def start(self) -> GlobState | None:
        """The state at the root directory."""
        return self._start

    def matches(self, path: bytes, *, is_directory: bool = False) -> bool:
        """Does this one absolute path match; the root itself matches only the pattern `/`."""
        if not path.startswith(b"/"):
            raise DataError("glob.path", "only absolute paths can be matched", found=repr(path))
        state = self._start
        if path == b"/":
            return any(not glob.elements for glob in self.globs)
        *parents, name = path[1:].split(b"/")
        for parent in parents:
            if state is None:
                return False
            _, state = state.step(parent, True)
        return state is not None and state.step(name, is_directory)[0]


def compile_globs(patterns: Iterable[str | bytes]) -> GlobSet:
    """Compile a list of patterns; the first one that cannot be used is a DataError. An empty list matches nothing."""
    distinct = dict.fromkeys(patterns)
    if len(distinct) > MAX_GLOBS:
        raise DataError(
            "glob.too-many", "the list of globs is too long", expected=str(MAX_GLOBS), found=str(len(distinct))
        )
    return GlobSet(tuple(parse_glob(pattern) for pattern in distinct))


def _plant(root: _Branch, glob: Glob) -> _Branch:
    """Follow the literal directories of a pattern from the root; what is left from the first wildcard on is a tail."""
    branch = root
    elements = glob.elements[1:]
    while elements:
        length = elements.index(SLASH) if SLASH in elements else len(elements)
        name = elements[:length]
        if not all(isinstance(element, int) for element in name):
            branch.tails.append((elements, glob.subtree))
            return branch
        branch = branch.branches.setdefault(bytes(element for element in name if isinstance(element, int)), _Branch())
        elements = elements[length + 1 :]
    if glob.subtree:
        branch.subtree = True
    else:
        branch.accept = True
    return branch
