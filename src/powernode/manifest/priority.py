# SPDX-License-Identifier: MIT
"""The one number that orders modules: `category position * 1000 + priority`.

Invariant: a priority can never carry a module into the next category, so it is refused outside `0 <= priority < 1000`
instead of being clamped: a clamped value would silently tie with another module.

Out of scope: what a tie means; the merge decides.

    effective_priority(category_position=300, priority=10)      # 300010
"""

from __future__ import annotations

from powernode.base.errors import OperatorError

PRIORITIES_PER_CATEGORY = 1000


def effective_priority(*, category_position: int, priority: int) -> int:
    """The place of a module in the stack; larger is nearer the top."""
    _require_integer("category position", category_position)
    _require_integer("priority", priority)
    if category_position < 0:
        raise OperatorError(
            "priority.category-position",
            "the position of a category cannot be negative",
            expected="0 or more",
            found=str(category_position),
        )
    if not 0 <= priority < PRIORITIES_PER_CATEGORY:
        raise OperatorError(
            "priority.range",
            "the priority would move the module into another category",
            expected=f"0 <= priority < {PRIORITIES_PER_CATEGORY}",
            found=str(priority),
            hint="choose another category to place the module higher",
        )
    return category_position * PRIORITIES_PER_CATEGORY + priority


def _require_integer(what: str, value: object) -> None:
    # True is an int to Python, but not to somebody who reads a manifest.
    if not isinstance(value, int) or isinstance(value, bool):
        raise OperatorError(
            "priority.type", f"the {what} is not an integer", expected="an integer", found=type(value).__name__
        )
