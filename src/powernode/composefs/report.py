# SPDX-License-Identifier: MIT
"""What a merge has to say about paths: who lost which one, to whom, by which rule; and what could not be decided.

Invariants: values only, ordered by path, then by loser; the same modules give the same report whatever their order was.
Texts escape what a terminal could act on, since module authors choose the names.

Out of scope: deciding; see `_carve`, `_ownership` and `_stacking`.

    Loss(path=b"/etc/motd", loser="base", winner="site", rule=Rule.HIGHER).describe()
    # '/etc/motd of base: site is higher and has the path'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from powernode.base.errors import OperatorError
from powernode.composefs._show import decoded, shown

_SHOWN_CONFLICTS = 20


class Rule(Enum):
    """Why a module lost a path. The values are stable names for machines."""

    NOT_INCLUDED = "not-included"
    """Its own file_spec does not include the path."""
    MASK = "mask"
    """Its own mask leaves the path, or a directory above it, out."""
    PROTECTED = "protected"
    """The winner protects the path, a directory above it, or something below it that this entry would hide."""
    LOCKED = "locked"
    """The winner is locked, higher, and reserves the path or a directory above it."""
    HIGHER = "higher"
    """The winner is higher and has the path."""
    REPLACED = "replaced"
    """The winner is higher and has something that is no directory at the path or above it."""
    WHITEOUT = "whiteout"
    """The winner is higher and removes the path or a directory above it."""
    OPAQUE = "opaque"
    """The winner is higher and has an opaque directory at the path or above it."""
    ATTRIBUTES = "attributes"
    """Both have the directory; mode, owner and extended attributes are those of the winner, which protects it, or else
    includes it, or else is higher."""
    OPACITY = "opacity"
    """The directory merges, but may not hide what is below: its file_spec does not include the directory (no winner),
    or the winner protects something in it."""


_REASONS = {
    Rule.NOT_INCLUDED: "its own file_spec does not include it",
    Rule.MASK: "its own mask leaves it out",
    Rule.PROTECTED: "{winner} protects it or what it would hide",
    Rule.LOCKED: "{winner} is locked and higher and reserves it",
    Rule.HIGHER: "{winner} is higher and has the path",
    Rule.REPLACED: "{winner} is higher and has no directory there",
    Rule.WHITEOUT: "{winner} is higher and removes it",
    Rule.OPAQUE: "{winner} is higher and its directory is opaque",
    Rule.ATTRIBUTES: "the directory has the attributes of {winner}, whose claim to it comes first",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One path one module did not get. `winner` is None where the module's own rules took it."""

    path: bytes
    loser: str
    winner: str | None
    rule: Rule

    def describe(self) -> str:
        """One line for people."""
        if self.rule is Rule.OPACITY:
            own = "its file_spec does not include it"
            cause = own if self.winner is None else f"{self.winner} protects files in it"
            reason = f"the directory may not be opaque: {cause}"
        else:
            reason = _REASONS[self.rule].format(winner=self.winner)
        return f"{shown(self.path)} of {self.loser}: {reason}"

    def as_dict(self) -> dict[str, str | None]:
        """For JSON; undecodable bytes of the path are lone surrogates, as in `os.fsdecode`."""
        return {"path": decoded(self.path), "loser": self.loser, "winner": self.winner, "rule": self.rule.value}


class ConflictKind(Enum):
    """What the rules leave undecided, so that a person has to."""

    BOTH_PROTECT = "both-protect"
    PROTECTED_AND_RESERVED = "protected-and-reserved"
    EQUAL_PRIORITY = "equal-priority"


_CONFLICT_TEXTS = {
    ConflictKind.BOTH_PROTECT: "is protected by",
    ConflictKind.PROTECTED_AND_RESERVED: "is protected by one and reserved by the other (locked and higher) of",
    ConflictKind.EQUAL_PRIORITY: "collides at equal effective priority in",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One path that two or more modules claim with equal right; everything below a directory is part of it."""

    path: bytes
    kind: ConflictKind
    modules: tuple[str, ...]
    detail: str = ""

    def describe(self) -> str:
        """One line for people."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{shown(self.path)} {_CONFLICT_TEXTS[self.kind]} {' and '.join(self.modules)}{detail}"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "path": decoded(self.path),
            "kind": self.kind.value,
            "modules": list(self.modules),
            "detail": self.detail,
        }


class MergeConflictError(OperatorError):
    """The modules cannot be merged; `conflicts` has every reason, the text the first ones."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        lines = [conflict.describe() for conflict in conflicts[:_SHOWN_CONFLICTS]]
        if len(conflicts) > _SHOWN_CONFLICTS:
            lines.append(f"and {len(conflicts) - _SHOWN_CONFLICTS} more")
        count = "a conflict" if len(conflicts) == 1 else f"{len(conflicts)} conflicts"
        super().__init__(
            "merge.conflict",
            f"the modules cannot be merged: {count}",
            expected="one owner for every path",
            found="; ".join(lines),
            hint="change a priority, a protected_spec or a mask, or leave one of the modules out",
        )
        self.conflicts = tuple(conflicts)
