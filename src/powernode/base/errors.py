# SPDX-License-Identifier: MIT
"""Refusals as data.

Every error that a user can meet carries a stable `code`, what was attempted, what was expected and found, and what to
do next. The four classes say who must act: the operator, the party whose bytes we read, this machine, or we ourselves.

    raise OperatorError("verity.block-size", "block size 3000 cannot be used",
                        expected="a power of two from 1024 to 65536", found="3000", hint="leave out --block-size")
"""

from __future__ import annotations


class PowernodeError(Exception):
    """The root of our errors; raise one of the subclasses."""

    exit_status = 70

    def __init__(
        self,
        code: str,
        message: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.expected = expected
        self.found = found
        self.hint = hint

    def as_dict(self) -> dict[str, str]:
        """The refusal for machines; absent parts are left out."""
        fields = {
            "code": self.code,
            "message": self.message,
            "expected": self.expected,
            "found": self.found,
            "hint": self.hint,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def __str__(self) -> str:
        text = self.message
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.found is not None:
            text += f"; found {self.found}"
        if self.hint is not None:
            text += f" ({self.hint})"
        return text


class OperatorError(PowernodeError):
    """The request itself cannot be carried out as asked: a wrong option, a conflict between modules."""

    exit_status = 2


class DataError(PowernodeError):
    """Bytes that came from elsewhere break their format or a limit: an image, a dump, a manifest."""

    exit_status = 3


class MachineError(PowernodeError):
    """This machine cannot do it: the kernel lacks a feature, a disk is full, a permission is missing."""

    exit_status = 4


class InternalError(PowernodeError):
    """We broke a promise to ourselves; never the user's fault."""

    exit_status = 70
