# SPDX-License-Identifier: MIT
"""How a module was built and from what: an in-toto Statement v1 with SLSA provenance v1 (docs/sbom.md describes it).

Invariants: the statement depends on its arguments alone; there is no time in it, because a build has none that two
builders would agree on, and its invocation is named by what it is made of. Everything that was taken from elsewhere is
listed with a digest.

What it claims is what the builder knows. Who may be believed is decided by the signature over it (`sign`), and how
isolated the builder was is not said here.

    data = statement([Artifact(name="my-redis", digest=manifest_digest)], facts)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from powernode import __version__
from powernode.base import canonical
from powernode.base.digest import Digest
from powernode.debian.lock import LockedPackage
from powernode.module.feed import Feed
from powernode.module.subject import content_urn, package_purl

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["BUILD_TYPE", "MEDIA_TYPE", "PREDICATE_TYPE", "Artifact", "BuildFacts", "Material", "asked"]
__all__ += ["locked", "statement"]

MEDIA_TYPE = "application/vnd.in-toto+json"
"""Of the signed envelope and of the statement in it."""

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:powernode:module-build:v1"
FEED_URI = "urn:powernode:vulnerability-feed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What was built: usually the OCI manifest of one architecture."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What went in. `digests` by in-toto's names: `sha256` of a file, `gitCommit`, `dirHash`."""

    uri: str
    digests: Mapping[str, str]
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFacts:
    """`builder` is a URI for who built it and vouches for that; `manifest` is the digest of manifest.yaml, `method` how
    stage 1 made the tree."""

    builder: str
    manifest: Digest
    version: str
    architecture: str
    suite: str
    options: Sequence[str] = ()
    method: str = "packages"
    materials: Sequence[Material] = field(default_factory=tuple)


def locked(packages: Iterable[LockedPackage], suite: str) -> list[Material]:
    """Every package of a lock, by the file that was installed."""
    return [
        Material(uri=package_purl(each, suite), digests={"sha256": each.sha256}, name=each.filename)
        for each in packages
    ]


def asked(feed: Feed) -> Material:
    """The vulnerability feed that the VEX document was written from, whether or not it had anything to say."""
    return Material(uri=FEED_URI, digests={"dirHash": feed.digest.hex})


def statement(subjects: Sequence[Artifact], facts: BuildFacts) -> bytes:
    """The statement, which is still to be signed."""
    materials = sorted(facts.materials, key=lambda each: (each.uri, each.name or ""))
    definition: dict[str, Json] = {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "manifest": {"sha256": facts.manifest.hex},
            "version": facts.version,
            "architecture": facts.architecture,
            "options": list(facts.options),
            "method": facts.method,
        },
        "internalParameters": {"suite": facts.suite},
        "resolvedDependencies": [_material(each) for each in materials],
    }
    builder: dict[str, Json] = {"id": facts.builder, "version": {"powernode": __version__}}
    invocation = content_urn(canonical.encode({"buildDefinition": definition, "builder": builder}))
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": each.name, "digest": {each.digest.algorithm: each.digest.hex}}
                for each in sorted(subjects, key=lambda each: (each.name, each.digest.hex))
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": definition,
                "runDetails": {"builder": builder, "metadata": {"invocationId": invocation}},
            },
        }
    )


def _material(material: Material) -> Json:
    described: dict[str, Json] = {"uri": material.uri, "digest": dict(material.digests)}
    if material.name is not None:
        described["name"] = material.name
    return described
