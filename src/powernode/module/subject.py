# SPDX-License-Identifier: MIT
"""What the descriptions of a module (SBOM, VEX, provenance) are about, and how they name things.

Modules and packages are named by package URLs (purl): a module is what its registry serves, `pkg:oci`, by the digest of
its manifest; a package is `pkg:deb/debian`. Nothing here asks the clock or a generator of random numbers: times are
given, and identifiers are made of the content they identify, so two builds write the same bytes.

    subject = Subject(name="my-redis", version="0.1.0", architecture="amd64", digest=manifest_digest, suite="trixie")
    subject.purl                    # 'pkg:oci/my-redis@sha256:…?arch=amd64&tag=v0.1.0'
    package_purl(package, "trixie") # 'pkg:deb/debian/redis-server@5:8.0.2-3?arch=amd64&distro=trixie'
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote
from uuid import UUID

from powernode.base.digest import Digest

__all__ = ["Subject", "content_urn", "package_purl", "rfc3339", "tag_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One module for one architecture. `digest` is that of its OCI manifest, `suite` the Debian release it is made
    from, `licence` an SPDX expression."""

    name: str
    version: str
    architecture: str
    digest: Digest
    suite: str
    licence: str | None = None
    description: str | None = None

    @property
    def purl(self) -> str:
        # Which registry serves it is not known when it is built, and not part of what it is.
        return _purl("oci", self.name, str(self.digest), arch=self.architecture, tag=tag_of(self.version))


class _Package(Protocol):
    """A package that is installed, or one of a lock."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def architecture(self) -> str: ...


def package_purl(package: _Package, suite: str) -> str:
    return _purl("deb/debian", package.name, package.version, arch=package.architecture, distro=suite)


def _purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    listed = "&".join(f"{key}={_quoted(value)}" for key, value in sorted(qualifiers.items()))
    return f"pkg:{kind}/{_quoted(name)}@{_quoted(version)}?{listed}"


def _quoted(text: str) -> str:
    return quote(text, safe=":")  # the one separator that purl says is never encoded


def tag_of(version: str) -> str:
    """What a version is called in a registry, where no tag can have a +."""
    return f"v{version.replace('+', '_')}"


def content_urn(data: bytes) -> str:
    """An identifier of these bytes as a UUID: version 8 (RFC 9562), with the first bits of their SHA-256."""
    number = int.from_bytes(sha256(data).digest()[:16])
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return UUID(int=number).urn


def rfc3339(seconds: int) -> str:
    """A time in seconds since 1970, as these documents want it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
