# SPDX-License-Identifier: MIT
"""Moments for people: seconds since 1970 as RFC 3339 writes them. Out of scope: reading such text.

utc(0)      # "1970-01-01T00:00:00Z"
"""

from __future__ import annotations

__all__ = ["utc"]


def utc(seconds: int) -> str:
    from time import gmtime, strftime  # only refusals need them

    try:
        return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))
    except (OverflowError, ValueError, OSError):  # beyond all calendars
        return str(seconds)
