# SPDX-License-Identifier: MIT
"""Where an artifact is: `registry[:port]/repository[:tag][@digest]`, the grammar of the distribution specification.

Invariants: the registry is always written out (there is no hidden default, so nobody is asked who was not named);
`Reference.parse(str(reference)) == reference`. The digest decides where there is a tag too.

Out of scope: whether it is there.

    reference = Reference.parse("registry.example.com/acme/redis:v0.1.0")
    reference.registry, reference.repository, reference.tag            # "registry.example.com", "acme/redis", "v0.1.0"
    str(reference.pinned("sha256:…"))                                  # "registry.example.com/acme/redis@sha256:…"
"""

from __future__ import annotations

import re

from powernode.base.errors import OperatorError
from powernode.base.values import Value
from powernode.oci.digests import is_digest

__all__ = ["Reference", "is_repository", "is_tag", "names_registry"]

_MAX_NAME = 255
_EXAMPLE = "registry.example.com/acme/redis:v1.0.0"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def is_repository(name: str) -> bool:
    return len(name) <= _MAX_NAME and _REPOSITORY.fullmatch(name) is not None


def is_tag(name: str) -> bool:
    return _TAG.fullmatch(name) is not None


class Reference(Value):
    """A repository in a registry and, perhaps, one artifact in it."""

    __slots__ = ("digest", "registry", "repository", "tag")

    def __init__(self, *, registry: str, repository: str, tag: str | None = None, digest: str | None = None) -> None:
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that an operator wrote."""
        registry, _, rest = text.partition("/")
        if not names_registry(text):
            raise _refusal("registry", text, "a reference begins with its registry", hint=f"write {_example(text)}")
        rest, at, digest = rest.partition("@")
        repository, colon, tag = rest.partition(":")
        port = _REGISTRY.fullmatch(registry)
        if port is None or (port[1] and not 0 < int(port[1]) < 65536):
            raise _refusal("registry", text, f"{registry[:100]!r} is no name of a registry")
        if not is_repository(repository):
            hint = "names are in lower case" if is_repository(repository.lower()) else None
            raise _refusal("repository", text, f"{repository[:100]!r} is no name of a repository", hint=hint)
        if colon and not is_tag(tag):
            raise _refusal("tag", text, f"{tag[:140]!r} is no tag")
        if at and not is_digest(digest):
            raise _refusal("digest", text, f"{digest[:150]!r} is no digest", expected="sha256:HEX (lower case)")
        return cls(registry=registry, repository=repository, tag=tag if colon else None, digest=digest if at else None)

    @property
    def version(self) -> str | None:
        """What names one artifact in the repository: the digest, else the tag."""
        return self.digest or self.tag

    def pinned(self, digest: str) -> Reference:
        return Reference(registry=self.registry, repository=self.repository, digest=digest)

    def tagged(self, tag: str) -> Reference:
        if not is_tag(tag):
            raise _refusal("tag", tag, f"{tag[:140]!r} is no tag")
        return Reference(registry=self.registry, repository=self.repository, tag=tag)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def names_registry(text: str) -> bool:
    """Whether the text begins with a registry. As other tools decide: a dot, a port or `localhost` makes the first part
    a host and no folder of a repository; and `.` and `..` are folders."""
    first, slash, _ = text.partition("/")
    return bool(slash) and first not in (".", "..") and ("." in first or ":" in first or first == "localhost")


def _example(text: str) -> str:
    candidate = f"registry.example.com/{text.lstrip('/')}"
    return candidate if len(candidate) < 150 and text.isprintable() and " " not in text else _EXAMPLE


def _refusal(
    cause: str, text: str, message: str, *, expected: str | None = _EXAMPLE, hint: str | None = None
) -> OperatorError:
    return OperatorError(f"oci.reference.{cause}", message, expected=expected, found=repr(text[:300]), hint=hint)
