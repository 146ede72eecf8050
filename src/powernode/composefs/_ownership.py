# SPDX-License-Identifier: MIT
"""What the other modules take away from one: protected paths, and what locked modules above it reserve.

Invariants: a guard that takes a directory takes everything below it, and claims everything below it, also where that is
found in another module: so two guards that meet at any depth are seen. A module's own guards take nothing from it, nor
do its parent's from a dependant, whose very purpose is to override. Time is linear in the entries that some guard can
still reach; a subtree that none reaches is passed on unvisited.

Besides the remaining trees this finds the *shields*: directories of a module that hold paths it protects. A file, a
whiteout or an opaque directory of another module in such a place would hide what is protected; `_stacking` refuses it.
And it finds the directories that a module itself has and protects: their attributes are its own to give.

Out of scope: which of several modules gives a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from powernode.composefs._carve import log_below, with_entries
from powernode.composefs.matching import COVERED, MatchState, PathMatcher
from powernode.composefs.report import Conflict, ConflictKind, Loss, Rule
from powernode.composefs.tree import Directory, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One module at its place in the stack: modules are known by rank, 0 is the top."""

    name: str
    priority: int
    parent: int | None
    tree: Directory
    borrowed: AbstractSet[bytes]
    protects: PathMatcher | None
    reserves: tuple[PathMatcher, ...]


@dataclass(slots=True, kw_only=True)
class Findings:
    """What the merge writes down on its way; conflicts are keyed so that each is written once."""

    losses: list[Loss] = field(default_factory=list)
    conflicts: dict[tuple[bytes, ConflictKind, tuple[str, ...]], Conflict] = field(default_factory=dict)
    shields: dict[bytes, set[int]] = field(default_factory=dict)
    protected_directories: dict[bytes, int] = field(default_factory=dict)

    def conflict(self, path: bytes, kind: ConflictKind, modules: Sequence[str], detail: str = "") -> None:
        """Note one conflict."""
        key = (path, kind, tuple(modules))
        self.conflicts.setdefault(key, Conflict(path=path, kind=kind, modules=key[2], detail=detail))

    def shield(self, path: bytes, owner: int) -> None:
        """`owner` protects `path`: nobody may hide the directories above it."""
        while path != b"/":
            path = path[: path.rindex(b"/")] or b"/"
            owners = self.shields.setdefault(path, set())
            if owner in owners:
                return  # whoever added it climbed on from here
            owners.add(owner)


_Guard = tuple[int, Rule, MatchState]
_Claim = tuple[int, Rule]


class _Frame:
    __slots__ = ("directory", "guards", "kept", "name", "parent", "path", "quarrels", "taken")

    def __init__(
        self,
        directory: Directory,
        path: bytes,
        guards: tuple[_Guard, ...],
        taken: _Claim | None,
        quarrels: frozenset[tuple[str, ...]],
        parent: dict[bytes, Node],
        name: bytes,
    ) -> None:
        self.directory = directory
        self.path = path
        self.guards = guards
        self.taken = taken
        self.quarrels = quarrels
        self.kept: dict[bytes, Node] = {}
        self.parent = parent
        self.name = name


class Ownership:
    """The guards of all members, applied to one tree after the other."""

    def __init__(self, members: Sequence[Member], findings: Findings) -> None:
        self._members = members
        self._findings = findings
        guards: list[_Guard] = []
        for rank, member in enumerate(members):
            matchers = [(Rule.PROTECTED, member.protects)] if member.protects is not None else []
            for rule, matcher in [*matchers, *((Rule.LOCKED, matcher) for matcher in member.reserves)]:
                state = matcher.start()
                if state is not None:
                    guards.append((rank, rule, state))
        # Protection is asked first: it holds in both directions, so it is the better reason to give.
        self._guards = tuple(sorted(guards, key=lambda guard: guard[1] is Rule.LOCKED))

    def apply(self, rank: int) -> Directory:
        """What is left of the tree of one member."""
        tree = self._members[rank].tree
        if not self._guards:
            return tree
        for owner, rule, state in self._guards:
            if owner == rank and rule is Rule.PROTECTED and state.everything:
                self._findings.protected_directories.setdefault(b"/", rank)
        result: dict[bytes, Node] = {}
        frames = [_Frame(tree, b"/", self._guards, None, frozenset(), result, b"")]
        for frame in frames:  # grows at the end, parents first
            self._visit(rank, frame, frames)
        for frame in reversed(frames):
            if frame.taken is None:
                frame.parent[frame.name] = with_entries(frame.directory, frame.kept, opaque=True)
        root = result[b""]
        assert isinstance(root, Directory)
        return root

    def _visit(self, rank: int, frame: _Frame, frames: list[_Frame]) -> None:
        prefix = frame.path if frame.path == b"/" else frame.path + b"/"
        for name, node in frame.directory.entries.items():
            is_directory = isinstance(node, Directory)
            claims: list[_Claim] = []
            below: list[_Guard] = []
            for owner, rule, state in frame.guards:
                hit, following = state.step(name, is_directory)
                if hit:
                    claims.append((owner, rule))
                    following = COVERED if is_directory else None
                if following is not None:
                    below.append((owner, rule, following))
            taken, quarrels = frame.taken, frame.quarrels
            if claims or taken is not None:
                path = prefix + name
                if claims:
                    quarrels = self._judge(path, rank, claims, quarrels)
                    if is_directory and (rank, Rule.PROTECTED) in claims:
                        self._findings.protected_directories[path] = rank
                    taken = taken or self._taker(rank, claims)
                if taken is not None:
                    self._lose(path, rank, taken)
            if taken is None and not (below and is_directory):
                frame.kept[name] = node
            elif isinstance(node, Directory):
                if below:
                    inner = _Frame(node, prefix + name, tuple(below), taken, quarrels, frame.kept, name)
                    frames.append(inner)
                elif taken is not None:
                    self._lose_below(prefix + name, node, rank, taken)

    def _lose(self, path: bytes, rank: int, taken: _Claim) -> None:
        owner, rule = taken
        loser, winner = self._members[rank].name, self._members[owner].name
        self._findings.losses.append(Loss(path=path, loser=loser, winner=winner, rule=rule))

    def _lose_below(self, path: bytes, directory: Directory, rank: int, taken: _Claim) -> None:
        log_below(path, directory, taken[1], lambda below, _: self._lose(below, rank, taken))

    def _taker(self, rank: int, claims: list[_Claim]) -> _Claim | None:
        member = self._members[rank]
        for owner, rule in claims:
            if owner == rank or owner == member.parent:
                continue
            if rule is Rule.PROTECTED or self._members[owner].priority > member.priority:
                return owner, rule
        return None

    def _judge(
        self, path: bytes, rank: int, claims: list[_Claim], quarrels: frozenset[tuple[str, ...]]
    ) -> frozenset[tuple[str, ...]]:
        """Note shields and claims that contradict each other; below a directory each quarrel is told once."""
        members = self._members
        protectors = sorted({owner for owner, rule in claims if rule is Rule.PROTECTED})
        for owner in protectors:
            if owner in (rank, members[rank].parent):
                self._findings.shield(path, owner)
        found: list[tuple[ConflictKind, tuple[int, ...]]] = []
        if len(protectors) > 1:
            found.append((ConflictKind.BOTH_PROTECT, tuple(protectors)))
        for locked in sorted({owner for owner, rule in claims if rule is Rule.LOCKED}):
            for protector in protectors:
                above = members[locked].priority > members[protector].priority
                if above and members[locked].parent != protector:
                    found.append((ConflictKind.PROTECTED_AND_RESERVED, (protector, locked)))
        for kind, owners in found:
            names = tuple(sorted(members[owner].name for owner in owners))
            key = (kind.value, *names)
            if key not in quarrels:
                quarrels |= {key}
                self._findings.conflict(path, kind, names)
        return quarrels
