# SPDX-License-Identifier: MIT
"""What a frozen dataclass gives, without the start-up price of `dataclasses`: for values on the boot path.

Immutable by convention; equal, hashable and printable by the slots of the class.

    class ModuleRef(Value):
        __slots__ = ("name", "version")
"""

from __future__ import annotations


class Value:
    """Every slot of the class is part of the value."""

    __slots__: tuple[str, ...] = ()

    def _parts(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({parts})"
