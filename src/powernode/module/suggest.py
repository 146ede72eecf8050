# SPDX-License-Identifier: MIT
"""What somebody may have meant who wrote a key or a word that a manifest does not know.

key_hint(("pakage_spec",))                  # "did you mean package_spec?"
key_hint(("start",))                        # "it goes below init: init.start"
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from powernode.manifest._shapes import Choice, Field, Items, Members, Object
from powernode.manifest._table import MANIFEST
from powernode.manifest.problem import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.manifest._shapes import Shape
    from powernode.manifest.problem import Path

__all__ = ["key_hint", "near", "value_hint"]

_SYNONYMS = {
    "title": "display_name",
    "summary": "description",
    "licence": "license",
    "packages": "package_spec",
    "files": "file_spec",
    "include": "file_spec",
    "exclude": "mask",
    "masks": "mask",
    "protected": "protected_spec",
    "depends": "dependencies",
    "reboot": "reboot_required",
    "exec": "start_command",
    "command": "start_command",
    "unit": "unit_body",
    "environment": "env",
    "ports": "exposed_ports",
    "restart": "restart_policy",
}
_ANSWERS = {
    "version": "a version is not written here: it is given to the build, and in CI by the tag (v1.2.3)",
    "uid": "ids are given by the platform",
    "gid": "ids are given by the platform",
    "id": "ids are given by the platform",
    "architecture": "a module is built for each architecture: powernode module build --arch",
    "architectures": "a module is built for each architecture: powernode module build --arch",
}


def key_hint(path: Path) -> str | None:
    """For a key that is not known where it is."""
    *parents, key = path
    shape = _shape(tuple(parents))
    known = [field.name for field in shape.fields] if isinstance(shape, Object) else []
    name = str(key).lower().replace("-", "_")
    if name.startswith("health_") and "health" in known:
        return "health is a mapping of its own: health: {endpoint: …}"
    found = near(name, known) if _SYNONYMS.get(name) not in known else _SYNONYMS[name]
    if found is not None:
        return f"did you mean {found}?"
    if name in _ANSWERS:
        return _ANSWERS[name]
    elsewhere = next((place for place in _places(MANIFEST, ()) if place[-1] == name), None)
    if elsewhere is None:
        return None
    if len(elsewhere) == 1:
        return f"{name} is a key of the top: it is not indented"
    return f"it goes below {path_text(elsewhere[:-1])}: {path_text(elsewhere)}"


def value_hint(path: Path, value: object) -> str | None:
    """For a word that is not among those known there."""
    shape = _shape(path)
    if not isinstance(shape, Choice) or not isinstance(value, str):
        return None
    words = {str(word).lower(): str(word) for word in shape.among}
    found = near(value.lower(), words)
    return f"did you mean {words[found]}?" if found is not None else None


def near(word: str, known: Collection[str]) -> str | None:
    return next(iter(get_close_matches(word[:100], known, 1, 0.7)), None)


def _shape(path: Path) -> Shape | None:
    shape: Shape | None = MANIFEST
    for part in path:
        if isinstance(shape, Object):
            field: Field | None = next((field for field in shape.fields if field.name == part), None)
            shape = field.shape if field is not None else None
        elif isinstance(shape, Items):
            shape = shape.item
        elif isinstance(shape, Members):
            shape = shape.value
        else:
            return None
    return shape


def _places(shape: Shape, path: Path) -> Iterator[Path]:
    """The keys there are, those near the top first."""
    pending: list[tuple[Shape, Path]] = [(shape, path)]
    for shape, path in pending:  # grows while it is read
        inner = shape.item if isinstance(shape, Items) else shape
        if isinstance(inner, Object):
            for field in inner.fields:
                yield (*path, field.name)
                pending.append((field.shape, (*path, field.name)))
