# SPDX-License-Identifier: MIT
r"""Versions (semver 2.0) and what a dependant accepts of them.

A constraint is a list of comparisons with commas between them; all must hold. A version in it may be short: `1.2` means
`1.2.0`, but `^`, `~` and `~>` look at how much was written.

| written | allows |
|---|---|
| `1.2.3`, `=1.2.3` | that version |
| `!=1.2.3` | any other |
| `>1.2` `>=1.2` `<2` `<=2` | by precedence |
| `^1.2.3` | from 1.2.3 to below 2.0.0; `^0.2.3` to below 0.3.0, `^0.0.3` to below 0.0.4 |
| `~1.2.3`, `~1.2` | to below 1.3.0; `~1` to below 2.0.0 |
| `~>1.2.3` | to below 1.3.0; `~>1.2` and `~>1` to below 2.0.0 |

Invariants: build metadata never counts; a pre-release is allowed only by a constraint that names a pre-release of the
same major.minor.patch, so `^1.0` and `<2.0.0` never let 2.0.0-rc.1 in; `Constraint.parse(str(c)) == c`.

    Constraint.parse("^1.0, !=1.3.0").allows(Version.parse("1.4.2"))      # True
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Triple: TypeAlias = "tuple[int, int, int]"

__all__ = ["Constraint", "Version"]

MAX_CHARACTERS = 255
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"
_PRERELEASE_PART = rf"(?:{_NUMBER}(?![0-9A-Za-z-])|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SUFFIX = (
    rf"(?:-(?P<pre>{_PRERELEASE_PART}(?:\.{_PRERELEASE_PART})*))?"
    r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_VERSION = re.compile(rf"(?P<core>{_NUMBER}\.{_NUMBER}\.{_NUMBER}){_SUFFIX}")
_SHORT = re.compile(rf"{_NUMBER}(?:\.{_NUMBER})?")
_COMPARISON = re.compile(r"(?P<operator>\^|~>|~|!=|>=|<=|=|>|<|) *(?P<version>[0-9A-Za-z.+-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """`prerelease` and `build` are what is between the dots; both are empty for an ordinary release."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Version:
        match = _VERSION.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
        if match is None:
            hint = "the tag is v1.2.3, the version is 1.2.3" if text[:1] in ("v", "V") else None
            raise DataError(
                "constraint.version",
                "this is no version",
                expected="MAJOR.MINOR.PATCH as semver 2.0 has it, such as 1.2.3 or 1.2.3-rc.1",
                found=repr(text[:100]),
                hint=hint,
            )
        major, minor, patch = map(int, match["core"].split("."))
        prerelease = tuple(match["pre"].split(".")) if match["pre"] else ()
        build = tuple(match["build"].split(".")) if match["build"] else ()
        return cls(major=major, minor=minor, patch=patch, prerelease=prerelease, build=build)

    @property
    def core(self) -> Triple:
        return self.major, self.minor, self.patch

    @property
    def precedence(self) -> tuple[object, ...]:
        """Compare these: numbers before words, a longer pre-release after a shorter one, the release after them all."""
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (*self.core, not self.prerelease, parts)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return (
            text
            + ("-" + ".".join(self.prerelease) if self.prerelease else "")
            + ("+" + ".".join(self.build) if self.build else "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`written` is how many of the three numbers were."""

    operator: str
    version: Version
    written: int = 3

    def holds(self, version: Version) -> bool:
        ours, theirs = self.version.precedence, version.precedence
        match self.operator:
            case "=":
                return theirs == ours
            case "!=":
                return theirs != ours
            case ">":
                return theirs > ours
            case ">=":
                return theirs >= ours
            case "<":
                return theirs < ours
            case "<=":
                return theirs <= ours
        return theirs >= ours and version.core < self._end()

    def _end(self) -> Triple:
        """The first major.minor.patch that is too new for `^`, `~` or `~>`."""
        numbers = self.version.core[: self.written]
        if self.operator == "^":
            # What was written first and is not zero may not change; of zeros alone, the last that was written.
            place = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
        elif self.operator == "~":
            place = min(1, self.written - 1)
        else:
            place = max(0, self.written - 2)
        end = [*numbers[:place], numbers[place] + 1, 0, 0]
        return end[0], end[1], end[2]

    def __str__(self) -> str:
        text = str(self.version) if self.written == 3 else ".".join(map(str, self.version.core[: self.written]))
        return ("" if self.operator == "=" else self.operator) + text


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    comparisons: tuple[Comparison, ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        if len(text) > MAX_CHARACTERS:
            raise _refusal(text)
        return cls(comparisons=tuple(_comparison(part.strip(" "), text) for part in text.split(",")))

    def allows(self, version: Version) -> bool:
        if version.prerelease and not any(
            comparison.version.prerelease and comparison.version.core == version.core for comparison in self.comparisons
        ):
            return False
        return all(comparison.holds(version) for comparison in self.comparisons)

    def __str__(self) -> str:
        return ", ".join(map(str, self.comparisons))


def _comparison(text: str, whole: str) -> Comparison:
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise _refusal(whole)
    operator = match["operator"] or "="
    if _VERSION.fullmatch(match["version"]):
        return Comparison(operator=operator, version=Version.parse(match["version"]))
    if not _SHORT.fullmatch(match["version"]):
        raise _refusal(whole)
    numbers = [int(number) for number in match["version"].split(".")]
    major, minor = [*numbers, 0][:2]
    return Comparison(operator=operator, version=Version(major=major, minor=minor, patch=0), written=len(numbers))


def _refusal(text: str) -> DataError:
    hint = None
    if "||" in text:
        hint = "there is no `or`; a list means that all comparisons hold"
    elif "*" in text or re.search(r"\.x\b", text):
        hint = "for any patch of 1.2 write ~1.2"
    elif " " in text.strip():
        hint = "put a comma between comparisons"
    return DataError(
        "constraint.syntax",
        "this is no version constraint",
        expected="comparisons such as ^1.0, >=1.2.3, !=1.4.0, with commas between them",
        found=repr(text[:100]),
        hint=hint,
    )
