# SPDX-License-Identifier: MIT
"""The extension cffi writes."""

from typing import Any

ffi: Any
lib: Any
