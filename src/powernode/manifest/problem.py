# SPDX-License-Identifier: MIT
"""What is wrong with a document, as data: where, which rule, what was expected and found, what to do.

A path leads from the top of the document to the value: names of members and numbers of list entries.

    problem = Problem(path=("services", 0, "name"), code="manifest.value", message="…")
    path_text(problem.path)             # "services[0].name"
"""

from __future__ import annotations

from dataclasses import dataclass

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Path: TypeAlias = "tuple[str | int, ...]"

__all__ = ["Problem", "path_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`at_key`: the member's name is what is wrong, not its value."""

    path: Path
    code: str
    message: str
    expected: str | None = None
    found: str | None = None
    hint: str | None = None
    at_key: bool = False

    def error(self, what: str) -> DataError:
        """For readers that take a document whole or not at all."""
        message = f"{what}: {self.message}"
        return DataError(self.code, message, expected=self.expected, found=self.found, hint=self.hint)


def path_text(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the document"
