# SPDX-License-Identifier: MIT
"""Where the agent gets its configuration from: the file that the builder put into the image.

Invariants: a file that is there and cannot be understood is a refusal; no file means the strict defaults, and that is
told.

Out of scope: what may be in it (`wire.nodeconfig`, which the builder checks its files with as well).

    config = read("/etc/powernode/config.json")        # None when there is no file
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.wire.nodeconfig import SOURCES, Config, parse

__all__ = ["SOURCES", "Config", "read", "read_optional"]

_MAX_BYTES = 1 << 16


def read(path: str) -> Config | None:
    data = read_optional(path, _MAX_BYTES)
    return None if data is None else parse(data)


def read_optional(path: str, limit: int) -> bytes | None:
    """A small file; None where there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    if len(data) > limit:
        raise DataError("boot.file-size", f"{path} is too large", expected=f"at most {limit} bytes")
    return data
