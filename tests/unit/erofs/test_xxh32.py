# SPDX-License-Identifier: MIT
"""xxHash32 against published values."""

from __future__ import annotations

import pytest

from powernode.erofs._xxh32 import xxh32

# The reference generator of the xxHash sanity checks: byte n is the top byte of a multiplicative sequence.
_PRIME32 = 2654435761
_PRIME64 = 11400714785074694797


def _sanity_buffer(size: int) -> bytes:
    state = _PRIME32
    out = bytearray()
    for _ in range(size):
        out.append(state >> 56 & 0xFF)
        state = state * _PRIME64 & 0xFFFFFFFFFFFFFFFF
    return bytes(out)


@pytest.mark.parametrize(
    ("size", "seed", "expected"),
    [
        (0, 0, 0x02CC5D05),
        (0, _PRIME32, 0x36B78AE7),
        (1, 0, 0xCF65B03E),
        (1, _PRIME32, 0xB4545AA4),
        (14, 0, 0x1208E7E2),
        (14, _PRIME32, 0x6AF1D1FE),
        (222, 0, 0x5BD11DBD),
        (222, _PRIME32, 0x58803C5F),
    ],
)
def test_published_values(size: int, seed: int, expected: int) -> None:
    assert xxh32(_sanity_buffer(size), seed) == expected
