# SPDX-License-Identifier: MIT
"""The checksum that tar-split data holds for every file: CRC-64 of ISO 3309, with plain integers and no table.

The bits of the data, the first byte's lowest first, are the coefficients of a polynomial from its highest power down;
the checksum is the remainder of it times x^64 after division by P = x^64 + x^4 + x^3 + x + 1, with the first and the
last 64 bits inverted. So x^64 may be replaced by x^4 + x^3 + x + 1, and, squaring being linear over two elements,
x^(64q) by x^(4q) + x^(3q) + x^q + 1 for every power of two q. Each such step nearly halves the polynomial with a few
shifts of one long integer, where a table would take a step for each byte.

    checksum = Crc64(); checksum.update(piece); checksum.digest()
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

_ONES = (1 << 64) - 1


class Crc64:
    def __init__(self) -> None:
        self._state = _ONES

    def update(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), 1 << 16):  # short enough for the integers to stay in the cache
            piece = view[start : start + (1 << 16)]
            self._state = _remainder(self._state ^ int.from_bytes(piece, "little"), 8 * len(piece) + 64)

    def digest(self) -> bytes:
        return (self._state ^ _ONES).to_bytes(8, "big")


def _remainder(bits: int, size: int) -> int:
    """Modulo P of the polynomial of `size` coefficients whose highest is the lowest bit of `bits`."""
    while size > 64:
        q = 1 << (((size - 1) // 64).bit_length() - 1)  # 64 q < size <= 128 q
        high = size - 64 * q  # how many coefficients of x^(64q) and above there are
        early, late = bits & ((1 << high) - 1), bits >> high
        size = max(64 * q, high + 4 * q)
        bits = late << (size - 64 * q)
        for power in (4 * q, 3 * q, q, 0):
            bits ^= early << (size - high - power)
    return bits
