# SPDX-License-Identifier: MIT
"""The versions of the composefs format that can be written; the refusal is the same with and without the C library."""

from __future__ import annotations

from powernode.base.errors import OperatorError

VERSION_MAX = 1


def check_versions(low: int, high: int) -> None:
    if not 0 <= low <= VERSION_MAX or not 0 <= high <= VERSION_MAX:
        raise OperatorError(
            "composefs.version",
            "this composefs format version cannot be written",
            expected=f"0 to {VERSION_MAX}",
            found=f"{low} to {high}",
        )
