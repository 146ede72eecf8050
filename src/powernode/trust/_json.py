# SPDX-License-Identifier: MIT
"""JSON as protobuf writes it: bytes in base64, 64-bit numbers as strings, null for what is not there.

Invariants: a document of many megabytes is one of few and long texts: how many members and items it can have is bounded
before it is read, so that it takes no more memory than a few times its size.
"""

from __future__ import annotations

import binascii

from powernode.base import canonical
from powernode.base.fields import Fields

__all__ = ["base64_of", "document", "is_present", "number_of"]

_MAX_BASE64 = 12 << 20
_MAX_VALUES = 4096
_URL_SAFE = str.maketrans("-_", "+/")


def document(data: bytes, *, code: str, what: str, max_bytes: int) -> Fields:
    """The members of a whole document; codes json.* and CODE.type."""
    value = canonical.decode(data, what=what, max_bytes=max_bytes, max_values=_MAX_VALUES)
    return Fields(value, code=code, what=what)


def is_present(fields: Fields, name: str) -> bool:
    """Whether the member is there and not null."""
    return fields.has(name) and not fields.null(name)


def base64_of(fields: Fields, name: str) -> bytes:
    text = fields.text(name, longest=_MAX_BASE64)
    try:
        return binascii.a2b_base64(text.translate(_URL_SAFE), strict_mode=True)
    except ValueError as error:  # binascii.Error, and characters beyond ASCII
        raise fields.refusal("base64", f"{name} of {fields.what} is not base64", found=str(error)) from None


def number_of(fields: Fields, name: str, *, default: int | None = None) -> int:
    """A number from 0 on; as protobuf writes it, in a string."""
    if default is not None and not is_present(fields, name):
        return default
    text = fields.text(name, longest=20)
    if not (text.isascii() and text.isdigit()) or int(text) >= 1 << 63:
        raise fields.refusal("value", f"{name} of {fields.what}", expected="a number from 0 on", found=text)
    return int(text)
