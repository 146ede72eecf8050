# SPDX-License-Identifier: MIT
"""The provenance statement: in-toto's and SLSA's members, inputs with digests, the same bytes for the same build."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from powernode.base.digest import Digest
from powernode.debian.lock import LockedPackage
from powernode.module.feed import Feed
from powernode.module.provenance import Artifact, BuildFacts, Material, asked, locked, statement

# The members of in-toto's Statement v1 and ResourceDescriptor and of SLSA's provenance v1, from their specifications.
DESCRIPTOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "uri": {"type": "string", "pattern": "^[a-z+]+:"},
        "digest": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"},
        },
    },
    "additionalProperties": False,
}
STATEMENT = {
    "type": "object",
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": DESCRIPTOR | {"required": ["digest"]}},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "properties": {
                        "buildType": {"type": "string", "pattern": "^[a-z]+:"},
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {
                            "type": "array",
                            "items": DESCRIPTOR | {"anyOf": [{"required": ["uri"]}, {"required": ["digest"]}]},
                        },
                    },
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                },
                "runDetails": {
                    "type": "object",
                    "properties": {
                        "builder": {
                            "type": "object",
                            "properties": {
                                "id": {"type": "string", "minLength": 1},
                                "version": {"type": "object", "additionalProperties": {"type": "string"}},
                            },
                            "required": ["id"],
                            "additionalProperties": False,
                        },
                        "metadata": {
                            "type": "object",
                            "properties": {"invocationId": {"type": "string"}},
                            "additionalProperties": False,
                        },
                    },
                    "required": ["builder"],
                    "additionalProperties": False,
                },
            },
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
        },
    },
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
}

SUBJECTS = (
    Artifact(name="my-redis", digest=Digest("sha256", b"\x02" * 32)),
    Artifact(name="my-redis", digest=Digest("sha256", b"\x01" * 32)),
)
REDIS = LockedPackage(
    name="redis-server",
    version="5:8.0.2-3+b1",
    architecture="amd64",
    filename="pool/main/r/redis/redis-server_8.0.2-3+b1_amd64.deb",
    size=1,
    sha256="ab" * 32,
)
SOURCE = Material(uri="git+https://git.example.com/acme/redis@refs/tags/v0.1.0", digests={"gitCommit": "cd" * 20})
FACTS = BuildFacts(
    builder="https://ci.example.com/runner",
    manifest=Digest("sha256", b"\x03" * 32),
    version="0.1.0",
    architecture="amd64",
    suite="trixie",
    materials=(SOURCE, *locked([REDIS], "trixie")),
)


def document(facts: BuildFacts = FACTS) -> Any:
    found = json.loads(statement(SUBJECTS, facts))
    jsonschema.Draft202012Validator(STATEMENT).validate(found)
    return found


def test_what_was_built() -> None:
    assert [each["digest"]["sha256"][:2] for each in document()["subject"]] == ["01", "02"]


def test_what_it_was_built_from() -> None:
    definition = document()["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "manifest": {"sha256": "03" * 32},
        "version": "0.1.0",
        "architecture": "amd64",
        "options": [],
        "method": "packages",
    }
    assert definition["resolvedDependencies"] == [
        {"uri": SOURCE.uri, "digest": {"gitCommit": "cd" * 20}},
        {
            "uri": "pkg:deb/debian/redis-server@5:8.0.2-3%2Bb1?arch=amd64&distro=trixie",
            "digest": {"sha256": "ab" * 32},
            "name": REDIS.filename,
        },
    ]


def test_the_feed_that_was_asked_is_an_input() -> None:
    feed = Feed(advisories=(), digest=Digest("sha256", b"\x04" * 32), files=1)
    found = document(replace(FACTS, materials=(asked(feed),)))
    (dependency,) = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependency == {"uri": "urn:powernode:vulnerability-feed", "digest": {"dirHash": "04" * 32}}


def test_the_same_build_gives_the_same_bytes() -> None:
    first = statement(SUBJECTS, FACTS)
    assert statement(SUBJECTS[::-1], replace(FACTS, materials=FACTS.materials[::-1])) == first


@pytest.mark.parametrize(
    "changes",
    [{"version": "0.1.1"}, {"builder": "https://other.example"}, {"materials": ()}, {"method": "containerfile"}],
)
def test_another_build_is_another_invocation(changes: dict[str, Any]) -> None:
    def invocation(facts: BuildFacts) -> str:
        found: str = document(facts)["predicate"]["runDetails"]["metadata"]["invocationId"]
        return found

    assert invocation(replace(FACTS, **changes)) != invocation(FACTS)
