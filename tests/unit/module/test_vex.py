# SPDX-License-Identifier: MIT
"""Vulnerability feeds, what they mean for a version, and the OpenVEX document of it."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.module._assessment import Status
from powernode.module._tracker import TrackerAdvisory
from powernode.module.feed import Feed, read_feed
from powernode.module.subject import package_purl
from powernode.module.vex import openvex
from unit.module._described import REDIS, STDCXX, SUBJECT, TIME

# The rules of the OpenVEX 0.2.0 specification, chapter by chapter; not a copy of the project's own schema.
TEXT = {"type": "string", "minLength": 1}
COMPONENT = {
    "type": "object",
    "properties": {
        "@id": TEXT,
        "identifiers": {"type": "object", "propertyNames": {"enum": ["purl", "cpe22", "cpe23"]}},
        "hashes": {"type": "object", "propertyNames": {"enum": ["md5", "sha1", "sha-256", "sha-384", "sha-512"]}},
        "subcomponents": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"$ref": "#/$defs/component"}},
    },
    "anyOf": [{"required": ["@id"]}, {"required": ["identifiers"]}, {"required": ["hashes"]}],
    "additionalProperties": False,
}
STATEMENT = {
    "type": "object",
    "properties": {
        "vulnerability": {
            "type": "object",
            "properties": {"name": TEXT, "aliases": {"type": "array", "uniqueItems": True, "items": TEXT}},
            "required": ["name"],
            "additionalProperties": False,
        },
        "products": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/component"}},
        "status": {"enum": ["not_affected", "affected", "fixed", "under_investigation"]},
        "status_notes": TEXT,
        "justification": {
            "enum": [
                "component_not_present",
                "vulnerable_code_not_present",
                "vulnerable_code_not_in_execute_path",
                "vulnerable_code_cannot_be_controlled_by_adversary",
                "inline_mitigations_already_exist",
            ]
        },
        "impact_statement": TEXT,
        "action_statement": TEXT,
    },
    "required": ["vulnerability", "products", "status"],
    "additionalProperties": False,
    "allOf": [
        {
            "if": {"properties": {"status": {"const": "not_affected"}}},
            "then": {"oneOf": [{"required": ["justification"]}, {"required": ["impact_statement"]}]},
            "else": {"not": {"anyOf": [{"required": ["justification"]}, {"required": ["impact_statement"]}]}},
        },
        {
            "if": {"properties": {"status": {"const": "affected"}}},
            "then": {"required": ["action_statement"]},
            "else": {"not": {"required": ["action_statement"]}},
        },
    ],
}
OPENVEX = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"component": COMPONENT},
    "type": "object",
    "properties": {
        "@context": {"const": "https://openvex.dev/ns/v0.2.0"},
        "@id": {"type": "string", "pattern": "^urn:uuid:[0-9a-f-]{36}$"},
        "author": TEXT,
        "timestamp": {"type": "string", "format": "date-time"},
        "version": {"type": "integer", "minimum": 1},
        "tooling": TEXT,
        "statements": {"type": "array", "minItems": 1, "uniqueItems": True, "items": STATEMENT},
    },
    "required": ["@context", "@id", "author", "timestamp", "version", "statements"],
    "additionalProperties": False,
}

RELEASE = {"status": "open", "repositories": {"trixie": "5:8.0.2-3"}, "urgency": "not yet assigned"}


def release(**changes: object) -> dict[str, object]:
    return {name: value for name, value in (RELEASE | changes).items() if value is not None}


def tracker(**vulnerabilities: dict[str, object]) -> dict[str, Any]:
    """A tracker's file about redis in trixie."""
    entries = {
        name.replace("_", "-"): {"description": "…", "releases": {"trixie": each, "sid": release(status="resolved")}}
        for name, each in vulnerabilities.items()
    }
    return {"redis": entries, "glibc": {}}


def osv(*events: dict[str, str], name: str = "DEBIAN-CVE-2026-1", **changes: object) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "Debian:13", "name": "redis"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}] if events else [],
        "ecosystem_specific": {"urgency": "low"},
    } | changes
    return {"id": name, "modified": "2026-01-01T00:00:00Z", "affected": [affected], "severity": [{"score": 9.8}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "feed"
    path.mkdir()
    return path


def read(folder: Path, **files: Any) -> Feed:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return read_feed(folder, sources={"redis", "gcc-14"}, suite="trixie")


def document(feed: Feed) -> Any:
    data = openvex(SUBJECT, (REDIS, STDCXX), feed, author="https://ci.example.com", timestamp=TIME)
    assert data is not None
    found = json.loads(data)
    jsonschema.Draft202012Validator(OPENVEX).validate(found)
    return found


@pytest.mark.parametrize(
    ("said", "version", "status", "note"),
    [
        (release(status="resolved", fixed_version="5:8.0.2-3"), "5:8.0.2-3", Status.FIXED, "fixed in 5:8.0.2-3"),
        (release(status="resolved", fixed_version="5:8.0.2-4"), "5:8.0.2-3", Status.AFFECTED, "fixed in 5:8.0.2-4"),
        (release(status="resolved", fixed_version="7.0"), "5:8.0.2-3", Status.FIXED, "fixed in 7.0"),
        (release(status="resolved", fixed_version="0"), "5:8.0.2-3", Status.NOT_AFFECTED, "redis in trixie"),
        (release(status="resolved"), "5:8.0.2-3", Status.UNDER_INVESTIGATION, "resolved"),
        (release(), "5:8.0.2-3", Status.AFFECTED, "open"),
        (release(), "5:8.0.2-2", Status.AFFECTED, "open"),
        (release(), "5:8.0.2-3+deb13u1", Status.UNDER_INVESTIGATION, "older than this version"),
        (release(repositories=None), "5:8.0.2-3", Status.AFFECTED, "open"),
        (release(urgency="end-of-life"), "5:8.0.2-3", Status.UNDER_INVESTIGATION, "no longer supported"),
        (release(status="undetermined"), "5:8.0.2-3", Status.UNDER_INVESTIGATION, "undetermined"),
        (release(nodsa="Minor issue", nodsa_reason="ignored"), "5:8.0.2-3", Status.AFFECTED, "(ignored): Minor issue"),
    ],
)
def test_what_the_tracker_means(folder: Path, said: dict[str, object], version: str, status: Status, note: str) -> None:
    (advisory,) = read(folder, tracker=tracker(CVE_2026_1=said)).advisories
    found = advisory.assess(version)
    assert (advisory.name, found.status) == ("CVE-2026-1", status)
    assert note in found.note


@pytest.mark.parametrize(
    ("events", "version", "status"),
    [
        ([{"introduced": "0"}, {"fixed": "2"}], "1", Status.AFFECTED),
        ([{"introduced": "0"}, {"fixed": "2"}], "0~", Status.AFFECTED),
        ([{"introduced": "0"}, {"fixed": "2"}], "2~rc1", Status.AFFECTED),
        ([{"introduced": "0"}, {"fixed": "2"}], "2", Status.FIXED),
        ([{"fixed": "2"}, {"introduced": "0"}], "2", Status.FIXED),
        ([{"introduced": "0"}], "9", Status.AFFECTED),
        ([{"introduced": "2"}], "1", Status.NOT_AFFECTED),
        ([{"introduced": "0"}, {"last_affected": "2"}], "2", Status.AFFECTED),
        ([{"introduced": "0"}, {"last_affected": "2"}], "2.1", Status.FIXED),
        ([{"introduced": "0"}, {"fixed": "2"}, {"introduced": "4"}, {"fixed": "5"}], "3", Status.FIXED),
        ([{"introduced": "0"}, {"fixed": "2"}, {"introduced": "4"}, {"fixed": "5"}], "4.1", Status.AFFECTED),
        ([], "1", Status.NOT_AFFECTED),
    ],
)
def test_what_osv_means(folder: Path, events: list[dict[str, str]], version: str, status: Status) -> None:
    (advisory,) = read(folder, osv=osv(*events)).advisories
    assert (advisory.name, advisory.aliases) == ("CVE-2026-1", ("DEBIAN-CVE-2026-1",))
    assert advisory.assess(version).status == status


def test_versions_that_osv_lists(folder: Path) -> None:
    (advisory,) = read(folder, osv=osv(versions=["1", "2"])).advisories
    assert [advisory.assess(version).status for version in "123"] == [Status.AFFECTED] * 2 + [Status.NOT_AFFECTED]
    assert advisory.assess("3").impact is not None


def test_what_is_about_others_is_left_out(folder: Path) -> None:
    fix = {"introduced": "0"}
    others = {
        "release": osv(fix, package={"ecosystem": "Debian:12", "name": "redis"}),
        "system": osv(fix, package={"ecosystem": "Alpine:v3.20", "name": "redis"}),
        "package": osv(fix, package={"ecosystem": "Debian:13", "name": "valkey"}),
        "withdrawn": osv(fix) | {"withdrawn": "2026-01-01T00:00:00Z"},
        "tracker": {"valkey": {"CVE-2026-1": {"releases": {"trixie": release()}}}},
        "elsewhere": {"redis": {"CVE-2026-1": {"releases": {"sid": release()}}}},
    }
    feed = read(folder, **others)
    assert feed.advisories == ()
    assert feed.files == 6
    assert openvex(SUBJECT, (REDIS,), feed, author="us", timestamp=TIME) is None


def test_commits_say_nothing_about_packages(folder: Path) -> None:
    entry = osv(ranges=[{"type": "GIT", "repo": "https://x", "events": [{"introduced": "0"}, {"limit": "abc"}]}])
    (advisory,) = read(folder, osv=entry).advisories
    assert advisory.assess("1").status is Status.NOT_AFFECTED


def test_a_document(folder: Path) -> None:
    feed = read(
        folder,
        tracker=tracker(
            CVE_2026_1=release(status="resolved", fixed_version="5:8.0.2-4"),
            CVE_2026_2=release(status="resolved", fixed_version="0"),
            CVE_2026_3=release(status="undetermined"),
        ),
        osv=osv({"introduced": "6:1"}, name="DSA-1-1") | {"aliases": ["CVE-2026-9"]},
    )
    found = document(feed)
    assert (found["author"], found["timestamp"]) == ("https://ci.example.com", "2025-08-09T00:00:00Z")
    assert str(feed.digest) in found["tooling"]
    first, second, third, last = found["statements"]
    assert [each["status"] for each in (first, second, third)] == ["affected", "not_affected", "under_investigation"]
    assert first["action_statement"].startswith("Lock redis 5:8.0.2-4")
    assert "impact_statement" in second
    assert last["vulnerability"] == {"name": "DSA-1-1", "aliases": ["CVE-2026-9"]}
    assert last["justification"] == "vulnerable_code_not_present"
    (product,) = first["products"]
    assert product["@id"] == SUBJECT.purl
    assert product["hashes"] == {"sha-256": SUBJECT.digest.hex}
    assert [each["@id"] for each in product["subcomponents"]] == [package_purl(REDIS, "trixie")]


def test_packages_of_one_source_share_a_statement(folder: Path) -> None:
    tools = replace(REDIS, name="redis-tools")
    data = openvex(SUBJECT, (tools, REDIS), read(folder, t=tracker(CVE_2026_1=release())), author="us", timestamp=TIME)
    assert data is not None
    (statement,) = json.loads(data)["statements"]
    named = [each["@id"] for each in statement["products"][0]["subcomponents"]]
    assert named == [package_purl(REDIS, "trixie"), package_purl(tools, "trixie")]


def test_the_worst_of_two_feeds_counts(folder: Path) -> None:
    feed = read(
        folder,
        tracker=tracker(CVE_2026_1=release(status="resolved", fixed_version="5:8.0.2-1")),
        osv=osv({"introduced": "0"}, {"fixed": "5:8.0.2-9"}),
    )
    (statement,) = document(feed)["statements"]
    assert statement["status"] == "affected"
    assert "tracker" in statement["status_notes"]
    assert "OSV DEBIAN-CVE-2026-1" in statement["status_notes"]
    assert "5:8.0.2-9" in statement["action_statement"]


def test_all_fixes_of_the_worst_are_told(folder: Path) -> None:
    """The newest of them is not told apart here: each is from a feed that may know more."""
    feed = read(
        folder,
        tracker=tracker(CVE_2026_1=release(status="resolved", fixed_version="5:8.0.2-8")),
        osv=osv({"introduced": "0"}, {"fixed": "5:8.0.2-9"}),
    )
    (statement,) = document(feed)["statements"]
    assert statement["action_statement"] == (
        "Lock redis 5:8.0.2-8 or later and build the module again. "
        "Lock redis 5:8.0.2-9 or later and build the module again."
    )


def test_the_same_feed_gives_the_same_bytes(folder: Path) -> None:
    content = tracker(CVE_2026_1=release(), CVE_2026_2=release(status="undetermined"))
    feed = read(folder, a=content)
    first = openvex(SUBJECT, (REDIS, STDCXX), feed, author="us", timestamp=TIME)
    assert openvex(SUBJECT, (STDCXX, REDIS), read(folder, a=content), author="us", timestamp=TIME) == first
    other = openvex(SUBJECT, (REDIS, STDCXX), feed, author="others", timestamp=TIME)
    assert first is not None
    assert other is not None
    assert json.loads(first)["@id"] != json.loads(other)["@id"]


def test_a_feed_is_named_by_the_sums_of_its_files(folder: Path) -> None:
    (folder / "b").mkdir()
    feed = read(folder, **{"b-c": tracker(), "b/a": osv(), "A": osv()})
    listed = "".join(
        f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in ("A.json", "b-c.json", "b/a.json")
    )
    assert feed.digest.hex == sha256(listed.encode()).hexdigest()
    (folder / "README").write_text("no part of it")
    assert read(folder).digest == feed.digest


@pytest.mark.parametrize(
    ("defect", "content", "code"),
    [
        ("not JSON", "{", "module.feed.json"),
        ("a key twice", '{"a": {}, "a": {}}', "module.feed.json"),
        ("NaN", '{"id": NaN}', "module.feed.json"),
        ("too deep", "[" * 100_000, "module.feed.json"),
        ("something else", {"name": "x", "version": "1"}, "module.feed.unknown"),
        ("nothing", {}, "module.feed.unknown"),
        ("a list", [], "module.feed.unknown"),
        ("a status of its own", tracker(CVE_1=release(status="fixed")), "module.feed.tracker.status"),
        ("a number", tracker(CVE_1=release(urgency=["low"])), "module.feed.tracker.type"),
        ("a release that is none", tracker(CVE_1=release(repositories=[])), "module.feed.tracker.type"),
        ("no version", tracker(CVE_1=release(fixed_version="<unfixed>")), "module.debversion"),
        ("an event of its own", osv({"born": "1"}), "module.feed.osv.event"),
        ("two events in one", osv({"introduced": "0", "fixed": "1"}), "module.feed.osv.type"),
        ("a range that is none", osv(ranges=["1"]), "module.feed.osv.type"),
        ("no list", osv(versions="1"), "module.feed.osv.type"),
        ("no version in an event", osv({"introduced": "one of them"}), "module.debversion"),
        ("affected is text", osv() | {"affected": ["redis"]}, "module.feed.osv.type"),
    ],
)
def test_a_feed_that_cannot_be_read_is_refused(folder: Path, defect: str, content: Any, code: str) -> None:
    with pytest.raises(DataError) as refused:
        read(folder, bad=content)
    assert refused.value.code == code, defect


@pytest.mark.parametrize(
    ("limit", "least", "code"),
    [
        ("feed._MAX_FILES", 1, "module.feed.files"),
        ("feed._MAX_FILE_BYTES", 50, "module.feed.size"),
        ("feed._MAX_TOTAL_BYTES", 500, "module.feed.size"),
        ("_osv._MAX_EVENTS", 1, "module.feed.osv.events"),
    ],
)
def test_a_feed_is_limited(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, least: int, code: str) -> None:
    monkeypatch.setattr(f"powernode.module.{limit}", least)
    with pytest.raises(DataError) as refused:
        read(folder, a=osv({"introduced": "0"}, {"fixed": "2"}), b=osv({"introduced": "0"}, {"fixed": "2"}))
    assert refused.value.code == code


@pytest.mark.parametrize(("missing", "code"), [(True, "module.feed.folder"), (False, "module.feed.empty")])
def test_a_feed_that_is_not_there(folder: Path, missing: bool, code: str) -> None:
    with pytest.raises(OperatorError) as refused:
        read_feed(folder / "none" if missing else folder, sources=(), suite="trixie")
    assert refused.value.code == code


def test_versions_of_a_package_are_compared_and_not_spelled() -> None:
    advisory = TrackerAdvisory(
        name="CVE-1", source="x", suite="trixie", state="resolved", fixed="1.10-1", urgency="", remark="", known=()
    )
    assert advisory.assess("1.9-1").status is Status.AFFECTED
    with pytest.raises(PowernodeError):
        advisory.assess("not a version")
