# SPDX-License-Identifier: MIT
"""Placement rules, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.erofs._layout import Placement, chunk_bits, chunk_count, flat_shape, place


def _place(after: int, tail_size: int, *, xattr_size: int = 0, is_symlink: bool = False) -> Placement:
    return place(after, inode_size=32, xattr_size=xattr_size, blocks=0, tail_size=tail_size, is_symlink=is_symlink)


@pytest.mark.parametrize(
    ("size", "shape"),
    [(0, (0, 0)), (1, (0, 1)), (2048, (0, 2048)), (2049, (1, 0)), (4096, (1, 0)), (4097, (1, 1)), (6145, (2, 0))],
)
def test_rest_of_more_than_half_a_block_is_a_block(size: int, shape: tuple[int, int]) -> None:
    assert flat_shape(size) == shape


@pytest.mark.parametrize(
    ("size", "bits", "count"),
    [
        (1, 12, 1),
        (4096, 12, 1),
        (4097, 13, 1),
        (1 << 43, 43, 1),
        ((1 << 43) + 1, 43, 2),
        (1 << 53, 43, 1024),
        ((1 << 53) + 1, 43, 1025),
    ],
)
def test_chunks(size: int, bits: int, count: int) -> None:
    assert (chunk_bits(size), chunk_count(size)) == (bits, count)


def test_inodes_start_on_slots() -> None:
    assert _place(1153, 0).offset == 1184


def test_a_tail_that_ends_with_the_block_stays() -> None:
    placement = _place(4096 - 64, 32)
    assert (placement.offset, placement.tail_offset, placement.end) == (4032, 4064, 4096)


def test_a_tail_that_would_cross_moves_with_its_inode_just_enough() -> None:
    placement = _place(4096 - 64, 33)
    assert placement.offset == 4096 - 32  # the tail starts the next block
    assert (placement.tail_offset, placement.blocks, placement.tail_size) == (4096, 0, 33)


def test_a_tail_that_never_fits_becomes_a_block() -> None:
    # 30 bytes are left: the padding of 32 wastes 2 bytes of the next block, and a full-block tail needs them all.
    placement = place(4096 - 64 - 32, inode_size=32, xattr_size=34, blocks=0, tail_size=4096, is_symlink=False)
    assert (placement.offset, placement.blocks, placement.tail_size) == (4096, 1, 0)


def test_a_symlink_keeps_inode_and_target_together() -> None:
    assert _place(4096 - 64, 33, is_symlink=True).offset == 4096
    assert _place(4096 - 64, 32, is_symlink=True).offset == 4032


def test_a_long_symlink_moves_out_and_is_padded_as_if_it_had_not() -> None:
    placement = _place(1152, 4064, is_symlink=True)
    assert (placement.offset, placement.blocks, placement.tail_size) == (4096, 1, 0)
    placement = _place(4096, 4064, is_symlink=True)
    assert (placement.offset, placement.blocks, placement.tail_size) == (4096, 1, 0)


@given(
    after=st.integers(1152, 20000),
    extended=st.booleans(),
    xattr_words=st.integers(0, 2000),
    tail_size=st.integers(0, 4096),
    is_symlink=st.booleans(),
)
def test_tails_never_cross_blocks(
    after: int, extended: bool, xattr_words: int, tail_size: int, is_symlink: bool
) -> None:
    placement = place(
        after,
        inode_size=64 if extended else 32,
        xattr_size=4 * xattr_words,
        blocks=0,
        tail_size=tail_size,
        is_symlink=is_symlink,
    )
    assert placement.offset % 32 == 0
    assert after <= placement.offset < after + 32 + 4096
    assert placement.blocks * 4096 + placement.tail_size >= tail_size
    if placement.tail_size:
        assert placement.tail_offset // 4096 == (placement.end - 1) // 4096
