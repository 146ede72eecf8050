# SPDX-License-Identifier: MIT
"""Attribute entries, the shared table and inode bodies."""

from __future__ import annotations

import pytest

from powernode.erofs._xattr import encode_entry, filter_bit, name_filter, share, split_name


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (b"user.a", (1, b"a")),
        (b"system.posix_acl_access", (2, b"")),
        (b"system.posix_acl_default", (3, b"")),
        (b"trusted.overlay.opaque", (4, b"overlay.opaque")),
        (b"security.selinux", (6, b"selinux")),
        (b"lustre.x", (0, b"lustre.x")),
        (b"userx", (0, b"userx")),
        (b"system.posix_acl_accessory", (2, b"ory")),
    ],
)
def test_prefixes(name: bytes, split: tuple[int, bytes]) -> None:
    assert split_name(name) == split


def test_an_entry_is_padded_to_four() -> None:
    assert encode_entry(b"user.a", b"bcd") == b"\x01\x01\x03\x00abcd"
    assert encode_entry(b"user.a", b"bcde") == b"\x01\x01\x04\x00abcde\0\0\0"


def test_the_filter_of_nothing_excludes_everything() -> None:
    assert name_filter(()) == 0xFFFFFFFF


def test_the_filter_of_the_opaque_mark() -> None:
    # The root of every composefs image has this one attribute: 0xffefffff in its body.
    assert filter_bit(b"trusted.overlay.opaque") == 1 << 20
    assert name_filter([(b"trusted.overlay.opaque", b"y")]) == 0xFFEFFFFF


def test_the_shared_table_descends() -> None:
    a, b, longer, greater = (b"user.a", b"1"), (b"user.b", b"1"), (b"user.a", b"00"), (b"user.a", b"2")
    shared = share([(a, b), (a, b), (longer,), (longer,), (greater,), (greater,), ((b"user.once", b""),)])
    assert list(shared.offsets) == [b, longer, greater, a]
    assert list(shared.offsets.values()) == [0, 8, 16, 24]
    assert shared.table == b"".join(encode_entry(*pair) for pair in (b, longer, greater, a))


def test_shared_indices_count_from_the_xattr_block() -> None:
    pair, own = (b"user.a", b"1"), (b"user.b", b"2")
    shared = share([(pair, own), (pair,)])
    body = shared.encode((pair, own), table_offset=96)
    assert len(body) == shared.body_size((pair, own)) == 12 + 4 + 8
    assert body[4] == 1
    assert body[12:16] == (96 // 4).to_bytes(4, "little")
    assert body[16:] == encode_entry(*own)


def test_at_most_128_are_referenced() -> None:
    xattrs = tuple((b"user.%03d" % number, b"vv") for number in range(130))
    shared = share([xattrs, xattrs])
    referenced, carried = shared.split(xattrs)
    assert (referenced, carried) == (list(xattrs[:128]), list(xattrs[128:]))
    assert shared.body_size(xattrs) == 12 + 4 * 128 + 2 * 12 == len(shared.encode(xattrs, table_offset=0))
