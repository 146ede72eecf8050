# SPDX-License-Identifier: MIT
"""OSV files (the Open Source Vulnerability format) about Debian's packages: one file, one vulnerability.

Versions are compared as dpkg does, whatever the file calls its ranges; ranges of git commits say nothing about a
package and are left out, and so are files that were withdrawn. A DEBIAN-CVE-… is called by the CVE's own name, so that
it meets what the tracker says of it. An advisory about several vulnerabilities (DSA, DLA) keeps its own.

A version before the first one affected has not got the vulnerable code, and OpenVEX has a word for that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.module._assessment import Assessment, Status
from powernode.module._debversion import order

if TYPE_CHECKING:
    from powernode.base.canonical import Json
    from powernode.module._debversion import Order

__all__ = ["OsvAdvisory", "Range", "advisories", "is_one"]

_CODE = "module.feed.osv"
_RELEASES = {"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "duke": "15"}
_EVENTS = ("introduced", "fixed", "last_affected")
_MAX_EVENTS = 1000
_MAX_TEXT = 200
_BEGINNING: Order = (-1, (), ())  # what `introduced: 0` means: before everything, `0~` too


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From `introduced` on, up to but without `fixed`, or up to and with `last`."""

    introduced: str
    fixed: str | None = None
    last: str | None = None

    def contains(self, version: str) -> bool:
        if order(version) < _start(self.introduced):
            return False
        if self.fixed is not None:
            return order(version) < order(self.fixed)
        return self.last is None or order(version) <= order(self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class OsvAdvisory:
    name: str
    aliases: tuple[str, ...]
    source: str
    file_id: str
    ranges: tuple[Range, ...]
    versions: tuple[str, ...]
    urgency: str

    def assess(self, version: str) -> Assessment:
        inside = [each for each in self.ranges if each.contains(version)]
        if inside or version in self.versions:
            fixes = sorted((each.fixed for each in inside if each.fixed is not None), key=order)
            if fixes:
                action = f"Lock {self.source} {fixes[-1]} or later and build the module again."
                return Assessment(status=Status.AFFECTED, note=self._note(f"fixed in {fixes[-1]}"), action=action)
            action = f"No fixed version of {self.source} is known; build the module again when there is."
            return Assessment(status=Status.AFFECTED, note=self._note("no fixed version"), action=action)
        passed = [each for each in self.ranges if order(version) >= _start(each.introduced)]
        fixes = sorted((each.fixed for each in passed if each.fixed is not None), key=order)
        if fixes:
            return Assessment(status=Status.FIXED, note=self._note(f"fixed in {fixes[-1]}"))
        if passed:
            return Assessment(status=Status.FIXED, note=self._note("later than the last affected version"))
        if self.ranges:
            first = min((each.introduced for each in self.ranges), key=_start)
            note = self._note(f"introduced in {first}")
            return Assessment(status=Status.NOT_AFFECTED, note=note, justification="vulnerable_code_not_present")
        text = f"OSV lists the affected versions of {self.source}, and this one is not among them."
        return Assessment(status=Status.NOT_AFFECTED, note=self._note(), impact=text)

    def _note(self, finding: str = "") -> str:
        remarks = [finding, f"urgency {self.urgency}" if self.urgency else ""]
        return "; ".join([f"OSV {self.file_id}, {self.source}", *filter(None, remarks)])


def is_one(document: Json) -> bool:
    return isinstance(document, dict) and isinstance(document.get("id"), str) and "modified" in document


def advisories(document: Json, *, what: str, sources: Collection[str], suite: str) -> Iterator[OsvAdvisory]:
    if not isinstance(document, dict) or document.get("withdrawn"):
        return
    file_id = _text(document, "id", what)
    aliases = {each[:_MAX_TEXT] for each in _items(document, "aliases", what) if isinstance(each, str)}
    name = file_id
    if file_id.startswith("DEBIAN-CVE-"):
        name = file_id.removeprefix("DEBIAN-")
        aliases.add(file_id)
    for entry in _items(document, "affected", what):
        package = entry.get("package", {}) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(package, dict):
            raise DataError(f"{_CODE}.type", f"affected of {what}", expected="objects with a package")
        source = _text(package, "name", what)
        if source not in sources or not _is_about(_text(package, "ecosystem", what), suite):
            continue
        specific = entry.get("ecosystem_specific")
        yield OsvAdvisory(
            name=name,
            aliases=tuple(sorted(aliases - {name})),
            source=source,
            file_id=file_id,
            ranges=tuple(_ranges(_items(entry, "ranges", what), what)),
            versions=tuple(each for each in _items(entry, "versions", what) if isinstance(each, str)),
            urgency=_text(specific, "urgency", what) if isinstance(specific, dict) else "",
        )


def _is_about(ecosystem: str, suite: str) -> bool:
    name, colon, release = ecosystem.partition(":")
    return name == "Debian" and (not colon or release == _RELEASES.get(suite))


def _ranges(listed: Sequence[Json], what: str) -> Iterator[Range]:
    for each in listed:
        if not isinstance(each, dict):
            raise DataError(f"{_CODE}.type", f"ranges of {what}", expected="objects")
        if each.get("type") != "GIT":
            yield from _pieces(_events(_items(each, "events", what), what))


def _events(listed: Sequence[Json], what: str) -> list[tuple[Order, int, str, str]]:
    """Sorted by version; at one version, an end comes before a new beginning."""
    if len(listed) > _MAX_EVENTS:
        raise DataError(f"{_CODE}.events", f"events of {what}", expected=f"at most {_MAX_EVENTS}")
    found = []
    for event in listed:
        if not isinstance(event, dict) or len(event) != 1:
            raise DataError(f"{_CODE}.type", f"events of {what}", expected="objects with one member")
        ((kind, version),) = event.items()
        if kind in _EVENTS and isinstance(version, str):
            place = _start(version) if kind == "introduced" else order(version)
            found.append((place, kind == "introduced", kind, version))
        elif kind != "limit":  # of commits
            raise DataError(f"{_CODE}.event", f"events of {what}", expected=", ".join(_EVENTS), found=repr(kind[:50]))
    return sorted(found)


def _pieces(events: Sequence[tuple[Order, int, str, str]]) -> Iterator[Range]:
    introduced: str | None = None
    for _, _, kind, version in events:
        if kind == "introduced":
            introduced = version if introduced is None else introduced
        elif introduced is not None:
            fixed, last = (version, None) if kind == "fixed" else (None, version)
            yield Range(introduced=introduced, fixed=fixed, last=last)
            introduced = None
    if introduced is not None:
        yield Range(introduced=introduced)


def _start(version: str) -> Order:
    return _BEGINNING if version == "0" else order(version)


def _items(members: Mapping[str, Json], name: str, what: str) -> Sequence[Json]:
    found = members.get(name)
    if not isinstance(found, list | None):
        raise DataError(f"{_CODE}.type", f"{name} of {what}", expected="a list")
    return found or []


def _text(members: Mapping[str, Json], name: str, what: str) -> str:
    found = members.get(name, "")
    if not isinstance(found, str):
        raise DataError(f"{_CODE}.type", f"{name} of {what}", expected="a string")
    return found[:_MAX_TEXT]
