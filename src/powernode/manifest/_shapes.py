# SPDX-License-Identifier: MIT
"""The shapes that a document's values can have, as data: one description serves reader, schema and documentation.

Each shape can `check` a decoded JSON value (reporting everything that is wrong with it), `make` our value of one that
was checked, and give back its `document`. `make` and `document` are each other's inverse; a member that has its
default is left out of a document, so a field that is added later changes no digest of what does not use it.

Out of scope: rules between members (`_rules`), JSON Schema (`module.schema`).

    shape = Object(build=Init, fields=(Field(name="start", shape=Text(), meaning="…", example="…"),))
    found: list[Problem] = []
    shape.check({"start": 5}, (), found.append)         # one problem: manifest.type
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.manifest.problem import Problem, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from powernode.base.canonical import Json
    from powernode.manifest.problem import Path

    Report: TypeAlias = Callable[[Problem], None]
    Shape: TypeAlias = "Text | Choice | Integer | Flag | Items | Members | Object | Anything"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SHOWN = 100

KINDS: dict[type, str] = {
    type(None): "nothing (null)",
    bool: "true or false",
    int: "a number",
    str: "a string",
    list: "a list",
    dict: "a mapping",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string. `pattern` is for the whole of it, in words `expected`; `rule` raises a DataError with its own code."""

    pattern: str | None = None
    expected: str | None = None
    longest: int = 256
    rule: Callable[[str], object] | None = None
    lines: bool = False
    null: bool = False

    def check(self, value: Json, path: Path, report: Report) -> None:
        if value is None and self.null:
            return
        if type(value) is not str:
            report(_wrong_type(value, path, "a string or null" if self.null else "a string"))
            return
        problem = self._problem(value, path)
        if problem is not None:
            report(problem)

    def _problem(self, value: str, path: Path) -> Problem | None:
        where = path_text(path)
        if (self._odd_character()).search(value):
            return Problem(path=path, code="manifest.character", message=f"{where} holds a control character")
        if len(value) > self.longest:
            expected = f"at most {self.longest} characters"
            return _wrong_value(path, f"{where} is too long", expected, f"{len(value)} characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return _wrong_value(path, f"{where} cannot be that", self.expected or self.pattern, shown(value))
        if self.rule is not None:
            try:
                self.rule(value)
            except DataError as error:
                message = f"{where}: {error.message}"
                found = error.found or shown(value)
                return Problem(
                    path=path, code=error.code, message=message, expected=error.expected, found=found, hint=error.hint
                )
        return None

    def _odd_character(self) -> re.Pattern[str]:
        return _CONTROL_BUT_LINES if self.lines else _CONTROL

    def make(self, value: Any) -> Any:
        return value

    document = make


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a closed set of strings or numbers."""

    among: tuple[str | int, ...]

    def check(self, value: Json, path: Path, report: Report) -> None:
        kind = type(self.among[0])
        if type(value) is not kind:
            report(_wrong_type(value, path, " or ".join(map(str, self.among)) if len(self.among) < 6 else KINDS[kind]))
        elif value not in self.among:
            some = ", ".join(map(str, self.among[:20])) + (", …" if len(self.among) > 20 else "")
            report(_wrong_value(path, f"{path_text(path)} cannot be that", some, shown(str(value))))

    def make(self, value: Any) -> Any:
        return value

    document = make


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    least: int
    most: int

    def check(self, value: Json, path: Path, report: Report) -> None:
        if type(value) is not int:
            report(_wrong_type(value, path, KINDS[int]))
        elif not self.least <= value <= self.most:
            report(_wrong_value(path, f"{path_text(path)} is out of range", f"{self.least} to {self.most}", f"{value}"))

    def make(self, value: Any) -> Any:
        return value

    document = make


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    def check(self, value: Json, path: Path, report: Report) -> None:
        if type(value) is not bool:
            report(_wrong_type(value, path, KINDS[bool]))

    def make(self, value: Any) -> Any:
        return value

    document = make


@dataclass(frozen=True, slots=True, kw_only=True)
class Anything:
    """What we carry and do not understand; bounded."""

    def check(self, value: Json, path: Path, report: Report) -> None:
        try:
            size = len(canonical.encode(value, max_depth=8))
        except DataError as error:
            report(Problem(path=path, code=error.code, message=f"{path_text(path)}: {error.message}"))
            return
        if size > 1 << 16:
            report(_wrong_value(path, f"{path_text(path)} is too long", "at most 65536 bytes as JSON", f"{size}"))

    def make(self, value: Any) -> Any:
        return value

    document = make


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list. `unique`: no entry twice; of objects, no two with the same member `key`."""

    item: Shape
    most: int = 1000
    least: int = 0
    unique: bool = False
    key: str | None = None

    def check(self, value: Json, path: Path, report: Report) -> None:
        if type(value) is not list:
            report(_wrong_type(value, path, KINDS[list]))
            return
        if not self.least <= len(value) <= self.most:
            expected = f"{self.least} to {self.most} entries"
            report(_wrong_value(path, f"{path_text(path)} has the wrong length", expected, f"{len(value)}"))
            return
        seen: dict[Json, int] = {}
        for number, entry in enumerate(value):
            here = (*path, number)
            self.item.check(entry, here, report)
            name: Json = entry
            if self.key is not None:
                name = entry.get(self.key) if isinstance(entry, dict) else None
                here = (*here, self.key)
            if (self.unique or self.key is not None) and isinstance(name, str):
                first = seen.setdefault(name, number)
                if first != number:
                    message = f"{path_text(here)}: {shown(name)} is there twice"
                    hint = f"it is {path_text(path)}[{first}] already"
                    report(Problem(path=here, code="manifest.duplicate", message=message, hint=hint))

    def make(self, value: Any) -> Any:
        return tuple(self.item.make(entry) for entry in value)

    def document(self, value: Any) -> Any:
        return [self.item.document(entry) for entry in value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """A mapping whose names are free."""

    name: Text
    value: Text
    most: int = 100

    def check(self, value: Json, path: Path, report: Report) -> None:
        if type(value) is not dict:
            report(_wrong_type(value, path, KINDS[dict]))
            return
        if len(value) > self.most:
            report(_wrong_value(path, f"{path_text(path)} is too long", f"at most {self.most}", f"{len(value)}"))
            return
        for name, entry in value.items():
            self.name.check(name, (*path, name), lambda problem: report(replace(problem, at_key=True)))
            self.value.check(entry, (*path, name), report)

    def make(self, value: Any) -> Any:
        return dict(value)

    document = make


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A member of an object. Its default is that of the value it becomes; one without must be there."""

    name: str
    shape: Shape
    meaning: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """A mapping with known members, which becomes a dataclass with the same."""

    build: type
    fields: tuple[Field, ...]

    def check(self, value: Json, path: Path, report: Report) -> None:
        if type(value) is not dict:
            report(_wrong_type(value, path, KINDS[dict]))
            return
        known = {field.name: field for field in self.fields}
        for name, entry in value.items():
            if name in known:
                known[name].shape.check(entry, (*path, name), report)
            else:
                message = f"{path_text((*path, name[:_SHOWN]))} is no key of a module manifest"
                report(Problem(path=(*path, name), code="manifest.unknown-key", message=message, at_key=True))
        for name in known:
            if name not in value and self.default(name) is MISSING:
                message = f"{path_text((*path, name))} is missing"
                report(Problem(path=path, code="manifest.missing", message=message, expected=f"the key {name}"))

    def make(self, value: Any) -> Any:
        return self.build(
            **{field.name: field.shape.make(value[field.name]) for field in self.fields if field.name in value}
        )

    def document(self, value: Any) -> Any:
        return {
            field.name: field.shape.document(getattr(value, field.name))
            for field in self.fields
            if getattr(value, field.name) != self.default(field.name)
        }

    def default(self, name: str) -> object:
        """The default of a member, or MISSING."""
        return _defaults(self.build)[name]


@cache
def _defaults(build: Any) -> dict[str, object]:
    return {
        field.name: field.default_factory() if field.default_factory is not MISSING else field.default
        for field in fields(build)
    }


def shown(text: str) -> str:
    """A string of somebody else's in a message of ours."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _wrong_type(value: Json, path: Path, expected: str) -> Problem:
    message = f"{path_text(path)} is of the wrong type"
    found = KINDS[type(value)]
    if type(value) is str or type(value) is int:
        found += f", {shown(str(value))}"
    return Problem(path=path, code="manifest.type", message=message, expected=expected, found=found)


def _wrong_value(path: Path, message: str, expected: str, found: str) -> Problem:
    return Problem(path=path, code="manifest.value", message=message, expected=expected, found=found)
