# SPDX-License-Identifier: MIT
"""Which module a reference promises: a signature says who made something, and not that it is what was asked for.

Whoever may move tags in a repository, or answers in its place, can hand out another module of the same publisher, or an
old version of the right one, and the signature is good. So the last part of a repository is the module's name, unless
somebody says the name, and a tag that is a version (`v1.2.3`, or `v1.2.3-amd64` for one architecture) is the module's
version. A digest promises itself, and other tags (`latest`, `stable`) promise no version. Where a name or a version is
promised, a module is: an SBOM or an image of the same publisher is signed as well, and has neither.

    expected = Expected.by(Reference.parse("registry.example.com/acme/redis:v1.2.3"))
    expected.check("redis", "1.2.3", code="module.pull")       # DataError module.pull.other-…
"""

from __future__ import annotations

from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.debian.lock import ARCHITECTURES
from powernode.manifest.constraint import Version
from powernode.module.artifact import ARTIFACT_TYPE, TITLE, VERSION
from powernode.oci.digests import is_digest
from powernode.oci.documents import Index, Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.oci.reference import Reference

__all__ = ["Expected", "is_version_tag", "promises_another"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """`name` and `tag` of what was asked for, as far as they promise anything."""

    name: str | None = None
    tag: str | None = None

    @classmethod
    def by(cls, reference: Reference, *, name: str | None = None) -> Expected:
        """`name` is the module's, where the repository is called something else."""
        if reference.digest is not None:
            return cls(name=name)
        return cls(name=name or reference.repository.rpartition("/")[2], tag=reference.tag)

    @classmethod
    def of(cls, version: str, *, name: str | None = None) -> Expected:
        """By what an artifact is called where it is: a tag or a digest."""
        return cls(name=name, tag=None if is_digest(version) else version)

    def check(self, name: str, version: str, *, code: str) -> None:
        if self.name is not None and self.name != name:
            raise DataError(
                f"{code}.other-module",
                "this is another module than was asked for",
                expected=self.name,
                found=name[:150] or "none",
                hint="the last part of a repository is its module's name; if it is not, say --module=NAME",
            )
        if self.tag is not None and promises_another(self.tag, version):
            raise DataError(
                f"{code}.other-version",
                "the tag names another version than the module has",
                expected=self.tag,
                found=version[:150] or "none",
                hint="the tag was mistyped when it was pushed, or somebody moved it: "
                "to use what is there all the same, name its digest",
            )

    def check_document(self, document: Manifest | Index, *, code: str) -> None:
        """By what the artifact says of itself; what is no module can only be had by its digest or by any other tag."""
        if document.artifact_type == ARTIFACT_TYPE:
            said = document.annotations
            self.check(said.get(TITLE, ""), said.get(VERSION, ""), code=code)
        elif self.name is not None or (self.tag is not None and is_version_tag(self.tag)):
            raise DataError(
                f"{code}.no-module",
                "this is no module",
                expected=ARTIFACT_TYPE,
                found=(document.artifact_type or document.media_type)[:150],
                hint="to use what is there all the same, name its digest",
            )


def is_version_tag(tag: str) -> bool:
    try:
        Version.parse(tag.removeprefix("v").replace("_", "+", 1))
    except DataError:
        return False
    return True


def promises_another(tag: str, version: str) -> bool:
    """Whether the tag stands for another version than this."""
    if not is_version_tag(tag):
        return False
    said = tag.removeprefix("v")
    # `module build` writes _ for the + before a build's name, which no tag can have.
    names = (version.replace("+", "_"), version.partition("+")[0])
    return not any(said in (each, *(f"{each}-{arch}" for arch in ARCHITECTURES)) for each in names)
