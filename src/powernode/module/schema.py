# SPDX-License-Identifier: MIT
"""The manifest's JSON Schema (draft 2020-12, for editors and other people's checks) and its table for the docs.

Both are made from the one table of the manifest. The schema is weaker than `validate`: rules that are no patterns
(globs, commands, licences, requirements, between members) are not in it; what it refuses, `validate` refuses, too.

    json_schema()["properties"]["name"]["pattern"]
    fields_table()                                  # Markdown
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING

from powernode.manifest._shapes import Anything, Choice, Flag, Integer, Items, Members, Object, Text
from powernode.manifest._table import MANIFEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json
    from powernode.manifest._shapes import Field, Shape

__all__ = ["encode_schema", "fields_table", "json_schema"]


def json_schema() -> dict[str, Json]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Powernode module manifest",
        **_schema(MANIFEST),
    }


def encode_schema() -> bytes:
    """As it is in the repository."""
    return json.dumps(json_schema(), indent=1).encode() + b"\n"


def fields_table() -> str:
    """Every field: its type, its default, what it means, an example."""
    rows = ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for name, shape, field in _fields(MANIFEST, ""):
        cells = (f"`{name}`", _kind(field.shape), _default(shape, field), field.meaning, f"`{field.example}`")
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _schema(shape: Shape) -> dict[str, Json]:
    match shape:
        case Text():
            found: dict[str, Json] = {"type": ["string", "null"] if shape.null else "string"}
            found["maxLength"] = shape.longest
            if shape.pattern is not None:
                found["pattern"] = f"^(?:{shape.pattern})$"
            return found
        case Choice():
            return {"enum": list(shape.among)} if len(shape.among) > 1 else {"const": shape.among[0]}
        case Integer():
            return {"type": "integer", "minimum": shape.least, "maximum": shape.most}
        case Flag():
            return {"type": "boolean"}
        case Items():
            found = {"type": "array", "items": _schema(shape.item), "maxItems": shape.most}
            if shape.least:
                found["minItems"] = shape.least
            if shape.unique:
                found["uniqueItems"] = True
            return found
        case Members():
            return {
                "type": "object",
                "propertyNames": _schema(shape.name),
                "additionalProperties": _schema(shape.value),
                "maxProperties": shape.most,
            }
        case Object():
            return _object(shape)
        case Anything():
            return {}


def _object(shape: Object) -> dict[str, Json]:
    properties: dict[str, Json] = {}
    required: list[Json] = []
    for field in shape.fields:
        default = shape.default(field.name)
        described: dict[str, Json] = {**_schema(field.shape), "description": field.meaning}
        if default is MISSING:
            required.append(field.name)
        elif isinstance(default, str | bool | int):
            described["default"] = default
        properties[field.name] = described
    found: dict[str, Json] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = required
    return found


def _fields(shape: Object, prefix: str) -> Iterator[tuple[str, Object, Field]]:
    for field in shape.fields:
        yield prefix + field.name, shape, field
        inner, mark = field.shape, ""
        if isinstance(inner, Items):
            inner, mark = inner.item, "[]"
        if isinstance(inner, Object):
            yield from _fields(inner, f"{prefix}{field.name}{mark}.")


def _kind(shape: Shape) -> str:
    match shape:
        case Text():
            return "text or null" if shape.null else "text"
        case Choice():
            few = " ".join(f"`{word}`" for word in shape.among)
            return few if len(shape.among) <= 16 else "names (see the schema)"
        case Integer():
            return f"{shape.least} to {shape.most}"
        case Flag():
            return "true or false"
        case Items():
            inner = {Object: "mappings", Anything: "anything"}.get(type(shape.item))
            return f"list of {inner or _kind(shape.item).replace('text', 'texts')}"
        case Members():
            return "mapping of texts"
        case Object():
            return "mapping"
        case Anything():
            return "anything"


def _default(shape: Object, field: Field) -> str:
    default = shape.default(field.name)
    if default is MISSING:
        return "must be given"
    if default is None or default == "":
        return ""
    document: Json = field.shape.document(default)
    return "" if document in ([], {}) else f"`{json.dumps(document)}`"
