# SPDX-License-Identifier: MIT
"""The packages of a module, as an SBOM that is attached to it names them.

Invariants: an SBOM is a stranger's: what has not the form of ours is left out, and nothing raises. Texts are as they
were written; whoever prints them escapes them.

    read_sbom(canonical.decode(data, …))[0].name
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Shipped", "read_sbom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A package that has files in the module; `licence` is an SPDX expression."""

    name: str
    version: str
    architecture: str
    licence: str | None
    files: int


def read_sbom(bill: Json) -> tuple[Shipped, ...]:
    """The packages of a CycloneDX document; what has not the form of ours is left out."""
    components, dependencies = _objects(bill, "components"), _objects(bill, "dependencies")
    files = {
        each.get("ref"): len(_list(each, "dependsOn")) for each in dependencies if isinstance(each.get("ref"), str)
    }
    found = []
    for component in components:
        name, version, reference = (component.get(member) for member in ("name", "version", "bom-ref"))
        if component.get("type") != "library" or not isinstance(name, str) or not isinstance(version, str):
            continue
        expressions = [each.get("expression") for each in _objects(component, "licenses")]
        purl = component.get("purl")
        found.append(
            Shipped(
                name=name,
                version=version,
                architecture=_architecture(purl if isinstance(purl, str) else ""),
                licence=next((each for each in expressions if isinstance(each, str)), None),
                files=files.get(reference, 0) if isinstance(reference, str) else 0,
            )
        )
    return tuple(sorted(found, key=lambda each: (each.name, each.architecture, each.version)))


def _architecture(purl: str) -> str:
    """The qualifier of a package URL."""
    qualifiers = dict(part.partition("=")[::2] for part in purl.partition("?")[2].split("&"))
    return qualifiers.get("arch", "")


def _objects(value: Json, member: str) -> list[dict[str, Json]]:
    return [each for each in _list(value, member) if isinstance(each, dict)]


def _list(value: Json, member: str) -> list[Json]:
    found = value.get(member) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
