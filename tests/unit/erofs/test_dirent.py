# SPDX-License-Identifier: MIT
"""Directory packing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from powernode.erofs._dirent import cut, directory_size, encode_block


def test_one_small_directory_is_all_tail() -> None:
    assert cut([b".", b".."]) == ([(0, 2)], 27)
    assert directory_size([b".", b".."]) == 27


def test_a_rest_of_more_than_half_a_block_is_a_block() -> None:
    names = [b"%04d" % number for number in range(128)]  # 16 bytes each: exactly half a block
    assert cut(names) == ([(0, 128)], 2048)
    assert cut([*names, b"x"]) == ([(0, 129)], 0)
    assert directory_size([*names, b"x"]) == 4096


def test_blocks_fill_greedily() -> None:
    names = [b"%04d" % number for number in range(300)]
    assert cut(names) == ([(0, 256), (256, 300)], 44 * 16)
    assert directory_size(names) == 4096 + 44 * 16


def test_an_encoded_block() -> None:
    assert encode_block([(b".", 36, 2), (b"ab", 99, 1)]) == (
        bytes.fromhex("24000000 00000000 1800 02 00") + bytes.fromhex("63000000 00000000 1900 01 00") + b".ab"
    )


@given(st.lists(st.binary(min_size=1, max_size=255), max_size=200))
def test_ranges_cover_all_names_and_fit(names: list[bytes]) -> None:
    ranges, tail_size = cut(names)
    assert [position for first, last in ranges for position in range(first, last)] == list(range(len(names)))
    sizes = [sum(12 + len(name) for name in names[first:last]) for first, last in ranges]
    assert all(size <= 4096 for size in sizes)
    assert tail_size == (sizes[-1] if sizes and sizes[-1] <= 2048 else 0)
