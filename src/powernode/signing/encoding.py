# SPDX-License-Identifier: MIT
"""Bytes inside JSON, read strictly (base64, hexadecimal), and values in DER, written.

body = from_base64(fields, "body", code="signing.rekor.answer")
der(SEQUENCE, der(INTEGER, b"\\1"), der(OCTET_STRING, b"…"))
"""

from __future__ import annotations

import binascii

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.fields import Fields

__all__ = ["INTEGER", "OBJECT", "OCTET_STRING", "SEQUENCE", "SET", "UTF8_STRING", "der", "explicit", "from_base64"]
__all__ += ["from_base64url", "from_hex"]

INTEGER, OCTET_STRING, OBJECT, UTF8_STRING, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x0C, 0x30, 0x31

_LONGEST = 32 << 20


def from_base64(fields: Fields, name: str, *, code: str) -> bytes:
    """A member in base64 with its padding."""
    try:
        return binascii.a2b_base64(fields.text(name, longest=_LONGEST), strict_mode=True)
    except ValueError as error:  # binascii.Error, and characters beyond ASCII
        raise DataError(code, f"{name} of {fields.what} is not base64", found=str(error)) from None


def from_base64url(text: str, *, code: str, what: str) -> bytes:
    """Base64 for addresses, without padding (RFC 7515, appendix C)."""
    if not set("+/=").isdisjoint(text):
        raise DataError(code, f"{what} is not base64url")
    try:
        standard = text.translate(str.maketrans("-_", "+/"))
        return binascii.a2b_base64(standard + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise DataError(code, f"{what} is not base64url", found=str(error)) from None


def from_hex(text: str, *, code: str, what: str) -> bytes:
    """Hexadecimal digits, two a byte."""
    try:
        if text and not text.isalnum():  # bytes.fromhex overlooks white space
            raise ValueError("a character that is no digit")
        return bytes.fromhex(text)
    except ValueError as error:
        raise DataError(code, f"{what} is not hexadecimal", found=str(error)) from None


def der(tag: int, *parts: bytes) -> bytes:
    """One value whose content is the parts."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(digits))) + digits + content


def explicit(number: int, *parts: bytes) -> bytes:
    """What stands under the constructed tag [number]."""
    return der(0xA0 | number, *parts)
