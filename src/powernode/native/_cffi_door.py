# SPDX-License-Identifier: MIT
"""The library through cffi's API mode: the fastest to start and to call."""

from __future__ import annotations

# Written so that a missing file is a ModuleNotFoundError that names it, and a broken one is not.
import powernode.native._powernode as _powernode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer


class CffiLibrary:
    door = "cffi"

    def __init__(self) -> None:
        self.path: str = _powernode.__file__
        self._ffi = _powernode.ffi
        self._functions: dict[str, tuple[Any, tuple[Any, ...]]] = {}

    def _function(self, name: str) -> tuple[Any, tuple[Any, ...]]:
        """The function and, for every argument, its pointer type or None for a number."""
        known = self._functions.get(name)
        if known is None:
            function = getattr(_powernode.lib, name)
            types = tuple(kind if kind.kind == "pointer" else None for kind in self._ffi.typeof(function).args)
            known = self._functions[name] = (function, types)
        return known

    def call(self, name: str, *arguments: int | Buffer | None) -> int:
        ffi = self._ffi
        function, types = self._function(name)
        alive = []  # from_buffer objects must outlive the call
        converted: list[Any] = []
        for argument, kind in zip(arguments, types, strict=True):
            if kind is None:
                converted.append(argument)
            elif argument is None:
                converted.append(ffi.NULL)
            elif isinstance(argument, int):
                converted.append(ffi.cast(kind, argument))
            else:
                alive.append(ffi.from_buffer(argument))
                converted.append(ffi.cast(kind, alive[-1]))
        return function(*converted) or 0

    def view(self, address: int, size: int) -> memoryview:
        return memoryview(self._ffi.buffer(self._ffi.cast("char *", address), size))
