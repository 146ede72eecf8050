# SPDX-License-Identifier: MIT
"""PEM, for keys and certificates that somebody pinned or sent along.

Invariants: a text is read whole or refused: what is between the blocks may only be comments (`#`) and empty lines, so a
damaged BEGIN line is seen; blocks of another label are refused by name. `code` begins every refusal: CODE.pem,
CODE.label, CODE.size.

Out of scope: what is in the blocks (`keys`, `x509`).

    blocks(pem, "CERTIFICATE", code="trust.x509", most=64 << 10)
"""

from __future__ import annotations

import binascii

from powernode.base.errors import DataError

__all__ = ["blocks"]

_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"


def blocks(pem: bytes, label: str, *, code: str, most: int) -> list[bytes]:
    """The DER of every block of `label`, in order; `most` bounds the whole text."""

    def refusal(cause: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
        return DataError(f"{code}.{cause}", message, expected=expected, found=found)

    if len(pem) > most:
        raise refusal("size", f"the text of {label}s is too long", expected=f"at most {most} bytes")
    try:
        lines = pem.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise refusal("pem", f"byte {error.start} of the {label}s is not ASCII") from None
    found: list[bytes] = []
    body: list[str] | None = None
    for number, line in enumerate((line.strip() for line in lines), 1):
        if body is None:
            if line == f"{_BEGIN}{label}{_DASHES}":
                body = []
            elif line.startswith(_BEGIN):
                other = line.removeprefix(_BEGIN).removesuffix(_DASHES)
                raise refusal("label", f"line {number} begins something else", expected=label, found=other[:60])
            elif line and not line.startswith("#"):
                raise refusal("pem", f"line {number} belongs to no {label}", expected=f"{_BEGIN}{label}{_DASHES}")
        elif line == f"{_END}{label}{_DASHES}":
            try:
                found.append(binascii.a2b_base64("".join(body), strict_mode=True))
            except ValueError as error:
                raise refusal("pem", f"what ends in line {number} is not base64", found=str(error)) from None
            body = None
        else:
            body.append(line)
    if body is not None:
        raise refusal("pem", f"the last {label} has no end", expected=f"{_END}{label}{_DASHES}")
    return found
