# SPDX-License-Identifier: MIT
"""What known vulnerabilities mean for a module: an OpenVEX 0.2 document.

Invariants: one statement for a vulnerability, a status and a reason, with the module as its product and the packages it
is about as subcomponents; where feeds disagree the worst status is stated and all of them are named. The same feed and
the same module give the same bytes.

There is no document without a statement: OpenVEX wants at least one, and an empty one would read as "nothing is known
to be wrong". Whether a feed was asked, and in which state it was, is in the provenance.

A statement is about the packages' versions and not about the files that ship: a module with one library of a package is
`affected` by what is wrong with its programs. Only a person can say otherwise.

    data = openvex(subject, [package for package, _ in shipped_packages(…)], feed, author="https://…", timestamp=0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from powernode import __version__
from powernode.base import canonical
from powernode.module.dpkg import Installed
from powernode.module.feed import Assessment, Feed, Status
from powernode.module.subject import Subject, content_urn, package_purl, rfc3339

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["MEDIA_TYPE", "openvex"]

MEDIA_TYPE = "application/vnd.openvex+json"
_CONTEXT = "https://openvex.dev/ns/v0.2.0"
_WORST_FIRST = tuple(Status)


def openvex(
    subject: Subject, packages: Sequence[Installed], feed: Feed, *, author: str, timestamp: int
) -> bytes | None:
    """The document about packages that ship, or None if the feed knows nothing about them.

    `author` answers for the statements: a URI or an address of who builds; `timestamp` is in seconds since 1970.
    """
    statements = _statements(subject, packages, feed)
    if not statements:
        return None
    document: dict[str, Json] = {
        "@context": _CONTEXT,
        "author": author,
        "timestamp": rfc3339(timestamp),
        "version": 1,
        "tooling": f"powernode {__version__}, vulnerability feed {feed.digest}",
        "statements": [*statements],
    }
    document["@id"] = content_urn(canonical.encode(document))
    return canonical.encode(document)


def _statements(subject: Subject, packages: Sequence[Installed], feed: Feed) -> list[Json]:
    grouped: dict[tuple[str, Assessment], set[str]] = {}
    aliases: dict[str, set[str]] = {}
    for package in packages:
        found: dict[str, list[Assessment]] = {}
        for advisory in feed.advisories:
            if advisory.source == package.source:
                found.setdefault(advisory.name, []).append(advisory.assess(package.source_version))
                aliases.setdefault(advisory.name, set()).update(advisory.aliases)
        for name, assessments in found.items():
            grouped.setdefault((name, _worst(assessments)), set()).add(package_purl(package, subject.suite))
    order = sorted(grouped, key=lambda key: (key[0], sorted(grouped[key])))
    return [_statement(subject, name, aliases[name], what, sorted(grouped[name, what])) for name, what in order]


def _worst(assessments: Sequence[Assessment]) -> Assessment:
    worst = min(assessments, key=lambda each: _WORST_FIRST.index(each.status))
    notes = sorted({each.note for each in assessments})
    actions = sorted({each.action for each in assessments if each.status is worst.status and each.action is not None})
    return Assessment(
        status=worst.status,
        note=". ".join(notes),
        action=" ".join(actions) or None,
        justification=worst.justification,
        impact=worst.impact,
    )


def _statement(subject: Subject, name: str, aliases: set[str], what: Assessment, purls: Sequence[str]) -> Json:
    vulnerability: dict[str, Json] = {"name": name}
    if aliases:
        vulnerability["aliases"] = [*sorted(aliases)]
    statement: dict[str, Json] = {
        "vulnerability": vulnerability,
        "products": [
            {
                **_component(subject.purl),
                "hashes": {"sha-256": subject.digest.hex},
                "subcomponents": [_component(purl) for purl in purls],
            }
        ],
        "status": what.status.value,
        "status_notes": what.note,
    }
    others = {"action": "action_statement", "justification": "justification", "impact": "impact_statement"}
    for field, member in others.items():
        text = getattr(what, field)
        if text is not None:
            statement[member] = text
    return statement


def _component(purl: str) -> dict[str, Json]:
    return {"@id": purl, "identifiers": {"purl": purl}}
