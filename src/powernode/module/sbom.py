# SPDX-License-Identifier: MIT
"""The bill of materials of a module: CycloneDX 1.6, complete down to the files.

Invariants: every shipped file is there once, with its SHA-256 and its fs-verity digest; every package that has one of
them is there, and no other; the same module gives the same bytes, serial number included. What belongs to no package
belongs to the module itself. docs/sbom.md describes the members and our properties.

A name that is not UTF-8 is written with `\\xNN` for each such byte; the `bom-ref` of a file is its exact path,
percent-encoded, so no two files share one and every name can be got back.

Out of scope: finding the packages (`dpkg`), vulnerabilities (`vex`), who built it (`provenance`).

    data = cyclonedx(subject, installed(…), [ShippedFile(path=b"/usr/bin/redis-cli", size=…, sha256=…)], timestamp=0)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from powernode import __version__
from powernode.base import canonical
from powernode.base.errors import InternalError
from powernode.module.dpkg import Installed
from powernode.module.subject import Subject, content_urn, package_purl, rfc3339

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["MEDIA_TYPE", "ShippedFile", "cyclonedx", "shipped_packages"]

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_PREFIX = "powernode:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedFile:
    """A file or a symbolic link (which has a `target` and no digests) that the module ships.

    `own` says that the content is the module's (`rootfs/`) whatever package lists the path. `fsverity` is None for
    what is too small to be an object.
    """

    path: bytes
    size: int = 0
    sha256: bytes | None = None
    fsverity: bytes | None = None
    target: bytes | None = None
    own: bool = False


def cyclonedx(
    subject: Subject, packages: Sequence[Installed], files: Sequence[ShippedFile], *, timestamp: int
) -> bytes:
    """The document; `timestamp` (seconds since 1970) is that of the build's inputs."""
    files = sorted(files, key=lambda file: file.path)
    references = [_reference(file) for file in files]
    if len(set(references)) != len(references):
        raise InternalError("module.sbom.twice", "a file is shipped twice")
    shipping = shipped_packages(packages, files)
    depends: dict[str, set[str]] = {}
    owned: set[bytes] = set()
    for package, paths in shipping:
        owned |= paths
        depends[package_purl(package, subject.suite)] = {_path_reference(path) for path in paths}
    own = {reference for file, reference in zip(files, references, strict=True) if file.path not in owned}
    graph = {subject.purl: own | depends.keys()} | depends
    document: dict[str, Json] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(timestamp),
            "tools": {"components": [{"type": "application", "name": "powernode", "version": __version__}]},
            "component": _module(subject),
        },
        "components": [
            *(_package(package, subject.suite) for package, _ in shipping),
            *(_file(file, reference) for file, reference in zip(files, references, strict=True)),
        ],
        "dependencies": [{"ref": ref, "dependsOn": [*sorted(graph[ref])]} for ref in sorted(graph)],
    }
    document["serialNumber"] = content_urn(canonical.encode(document))
    return canonical.encode(document)


def shipped_packages(
    packages: Iterable[Installed], files: Iterable[ShippedFile]
) -> list[tuple[Installed, frozenset[bytes]]]:
    """The packages that have a file among those that ship, each with the paths."""
    paths = {file.path for file in files if not file.own}
    found = ((package, package.files & paths) for package in packages)
    shipping = [(package, common) for package, common in found if common]
    return sorted(shipping, key=lambda each: (each[0].name, each[0].architecture))


def _module(subject: Subject) -> Json:
    described: dict[str, Json] = {
        "type": "container",
        "bom-ref": subject.purl,
        "name": subject.name,
        "version": subject.version,
        "purl": subject.purl,
        "hashes": [{"alg": "SHA-256", "content": subject.digest.hex}],
        "properties": _properties(architecture=subject.architecture, suite=subject.suite),
    }
    if subject.description:
        described["description"] = subject.description
    if subject.licence:
        described["licenses"] = _licences(subject.licence)
    return described


def _package(package: Installed, suite: str) -> Json:
    purl = package_purl(package, suite)
    licence = package.licence
    properties = {"deb:source": package.source, "deb:source-version": package.source_version}
    if licence.unstated is not None:
        properties["licence:unstated"] = licence.unstated.value
        if licence.mentions:
            properties["licence:mentions"] = " ".join(licence.mentions)
    described: dict[str, Json] = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": _properties(**properties),
    }
    if licence.expression is not None:
        described["licenses"] = _licences(licence.expression)
    return described


def _file(file: ShippedFile, reference: str) -> Json:
    described: dict[str, Json] = {"type": "file", "bom-ref": reference, "name": _text(file.path)}
    properties = {"size": str(file.size)}
    if file.target is not None:
        properties = {"link-target": _text(file.target)}
    if file.sha256 is not None:
        described["hashes"] = [{"alg": "SHA-256", "content": file.sha256.hex()}]
    if file.fsverity is not None:
        properties["fsverity-sha256"] = file.fsverity.hex()
    described["properties"] = _properties(**properties)
    return described


def _licences(expression: str) -> Json:
    return [{"expression": expression, "acknowledgement": "declared"}]


def _properties(**properties: str) -> Json:
    return [{"name": _PREFIX + name, "value": properties[name]} for name in sorted(properties)]


def _reference(file: ShippedFile) -> str:
    return _path_reference(file.path)


def _path_reference(path: bytes) -> str:
    return f"file:{quote_from_bytes(path)}"


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
