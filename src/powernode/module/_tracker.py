# SPDX-License-Identifier: MIT
"""Debian's security tracker: the JSON of data/json, source package -> vulnerability -> release -> status.

What the tracker says is about the versions that a release had when the file was made. So a version that is later than
every one the file knows is `under_investigation` where the file says "open": it may well bring the fix.

`resolved` with the fixed version 0 is the tracker's "not affected". It does not say why, so there is no justification
in OpenVEX's sense, only the impact statement that the tracker says so.

Out of scope: releases other than the one asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.module._assessment import Assessment, Status
from powernode.module._debversion import order

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["TrackerAdvisory", "advisories", "is_one"]

_CODE = "module.feed.tracker"
_STATES = ("open", "resolved", "undetermined")
_NEVER_AFFECTED = "0"
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerAdvisory:
    """`known` are the versions the release had, `remark` why there is no security update."""

    name: str
    source: str
    suite: str
    state: str
    fixed: str | None
    urgency: str
    remark: str
    known: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    def assess(self, version: str) -> Assessment:
        if self.state == "resolved" and self.fixed == _NEVER_AFFECTED:
            text = f"Debian's security tracker lists {self.source} in {self.suite} as not affected."
            return Assessment(status=Status.NOT_AFFECTED, note=self._note(), impact=text)
        if self.state == "resolved" and self.fixed is not None:
            note = self._note(f"fixed in {self.fixed}")
            if order(version) >= order(self.fixed):
                return Assessment(status=Status.FIXED, note=note)
            action = f"Lock {self.source} {self.fixed} or later and build the module again."
            return Assessment(status=Status.AFFECTED, note=note, action=action)
        if self.state == "open" and self.urgency == "end-of-life":
            return Assessment(status=Status.UNDER_INVESTIGATION, note=self._note("no longer supported by Debian"))
        if self.state == "open" and self.known and all(order(version) > order(known) for known in self.known):
            note = self._note(f"open up to {max(self.known, key=order)}, which is older than this version")
            return Assessment(status=Status.UNDER_INVESTIGATION, note=note)
        if self.state == "open":
            action = (
                f"No fixed version of {self.source} is known for {self.suite}; build the module again when there is."
            )
            return Assessment(status=Status.AFFECTED, note=self._note("open"), action=action)
        return Assessment(status=Status.UNDER_INVESTIGATION, note=self._note(self.state))

    def _note(self, finding: str = "") -> str:
        remarks = [finding, f"urgency {self.urgency}" if self.urgency else "", self.remark]
        return "; ".join([f"Debian's security tracker, {self.source} in {self.suite}", *filter(None, remarks)])


def is_one(document: Json) -> bool:
    return isinstance(document, dict) and bool(document) and all(_is_package(each) for each in document.values())


def _is_package(value: Json) -> bool:
    return isinstance(value, dict) and all(isinstance(each, dict) and "releases" in each for each in value.values())


def advisories(document: Json, *, what: str, sources: Collection[str], suite: str) -> Iterator[TrackerAdvisory]:
    for source in sorted(sources):
        for name, entry in _members(document, source, what).items():
            releases = _members(entry, "releases", f"{name} of {what}")
            if suite in releases:
                yield _advisory(name, source, suite, _members(releases, suite, f"{name} of {what}"), what)


def _advisory(name: str, source: str, suite: str, release: dict[str, Json], what: str) -> TrackerAdvisory:
    where = f"{name} of {source} in {what}"
    state, fixed = _text(release, "status", where), _text(release, "fixed_version", where)
    if state not in _STATES:
        raise DataError(f"{_CODE}.status", where, expected=", ".join(_STATES), found=repr(state))
    repositories = _members(release, "repositories", where)
    known = tuple(sorted(_text(repositories, each, where) for each in repositories))
    for version in (*known, *filter(None, [fixed])):
        order(version)  # refuse it here, where the file is known
    reason = _text(release, "nodsa_reason", where)
    remark = f"no security update{f' ({reason})' if reason else ''}: {_text(release, 'nodsa', where)}"
    return TrackerAdvisory(
        name=name[:_MAX_TEXT],
        source=source,
        suite=suite,
        state=state,
        fixed=fixed or None,
        urgency=_text(release, "urgency", where),
        remark=remark if "nodsa" in release else "",
        known=known,
    )


def _members(document: Json, name: str, what: str) -> dict[str, Json]:
    found = document.get(name, {}) if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise DataError(f"{_CODE}.type", f"{name} of {what}", expected="an object")
    return found


def _text(members: Mapping[str, Json], name: str, what: str) -> str:
    found = members.get(name, "")
    if not isinstance(found, str):
        raise DataError(f"{_CODE}.type", f"{name} of {what}", expected="a string")
    return found[:_MAX_TEXT]
