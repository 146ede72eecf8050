# SPDX-License-Identifier: MIT
"""Read the members of a decoded JSON object one by one, each checked, none overlooked.

Invariants: a member of the wrong type or size is refused under its full path; what nobody asked for is refused at the
end, so a typing error never becomes a silent default. `code` begins every refusal: CODE.missing, CODE.type,
CODE.value, CODE.unknown-key.

Out of scope: reading the bytes (`canonical`).

    with Fields(decode(data, …), code="wire.set", what="the boot set") as fields:
        serial = fields.integer("serial", least=0)
"""

from __future__ import annotations

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import TypeVar

    from powernode.base.canonical import Json

    _T = TypeVar("_T")

__all__ = ["Fields"]

_ABSENT = object()
_NAMES = {
    type(None): "null",
    bool: "true or false",
    int: "an integer",
    str: "a string",
    list: "a list",
    dict: "an object",
}


class Fields:
    """An object's members; leaving the `with` block refuses those that were not read."""

    def __init__(self, value: Json, *, code: str, what: str) -> None:
        self.code = code
        self.what = what
        if type(value) is not dict:
            raise self.refusal("type", what, expected="an object", found=_NAMES[type(value)])
        self._members: dict[str, Json] = dict(value)

    def __enter__(self) -> Fields:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.done()

    def done(self) -> None:
        """Refuse the members that nobody read."""
        if self._members:
            raise self.refusal(
                "unknown-key", f"{self.what} has a member with no meaning", found=_quoted(min(self._members))
            )

    def ignore_others(self) -> None:
        """For formats that tell their readers to overlook what they do not know."""
        self._members.clear()

    def has(self, name: str) -> bool:
        return name in self._members

    def text(self, name: str, default: str | None = None, *, longest: int = 4096) -> str:
        value = self._take(name, str, default)
        if len(value) > longest:
            raise self.refusal("value", self._at(name), expected=f"at most {longest} characters", found=f"{len(value)}")
        return value

    def integer(self, name: str, default: int | None = None, *, least: int, most: int = (1 << 63) - 1) -> int:
        value = self._take(name, int, default)
        if not least <= value <= most:
            raise self.refusal("value", self._at(name), expected=f"{least} to {most}", found=f"{value}")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        return self._take(name, bool, default)

    def null(self, name: str) -> bool:
        """Whether the member is there and null; then it counts as read."""
        if self._members.get(name, _ABSENT) is not None:
            return False
        del self._members[name]
        return True

    def fields(self, name: str) -> Fields:
        """The members of an object inside this one."""
        return Fields(self._take(name, dict, None), code=self.code, what=self._at(name))

    def each(self, name: str, *, most: int) -> Iterator[Fields]:
        """The objects of a list, each with its own check for what was overlooked."""
        for number, item in enumerate(self.items(name, most=most)):
            with Fields(item, code=self.code, what=f"{self._at(name)}[{number}]") as fields:
                yield fields

    def items(self, name: str, default: list[Json] | None = None, *, most: int) -> list[Json]:
        value = self._take(name, list, default)
        if len(value) > most:
            raise self.refusal("value", self._at(name), expected=f"at most {most} entries", found=f"{len(value)}")
        return value

    def texts(self, name: str, default: list[str] | None = None, *, most: int, longest: int = 4096) -> list[str]:
        """A list of strings."""
        values = self.items(name, None if default is None else list(default), most=most)
        for number, value in enumerate(values):
            if type(value) is not str or len(value) > longest:
                found = _NAMES[type(value)]
                at = f"{self._at(name)}[{number}]"
                raise self.refusal("type", at, expected=f"a string of at most {longest} characters", found=found)
        return [value for value in values if isinstance(value, str)]

    def refusal(self, cause: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
        """A refusal in the name of this document, for checks of the caller's."""
        return DataError(f"{self.code}.{cause}", message, expected=expected, found=found)

    def _take(self, name: str, kind: type[_T], default: _T | None) -> _T:
        value = self._members.pop(name, _ABSENT)
        if value is _ABSENT:
            if default is None:
                raise self.refusal("missing", f"{self._at(name)} is missing", expected=_NAMES[kind])
            return default
        if not isinstance(value, kind) or type(value) is not kind:  # True is an int, but not here
            raise self.refusal("type", self._at(name), expected=_NAMES[kind], found=_NAMES[type(value)])
        return value

    def _at(self, name: str) -> str:
        return f"{name} of {self.what}"


def _quoted(name: str) -> str:
    return repr(name[:100])
