# SPDX-License-Identifier: MIT
"""DER has one spelling, and the reader never leaves its bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.trust.der import BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE, Reader, context, encode


def read(data: str | bytes, how: Callable[[Reader], Any]) -> Any:
    with Reader(bytes.fromhex(data) if isinstance(data, str) else data, "it") as reader:
        return how(reader)


@pytest.mark.parametrize(
    ("data", "how", "expected"),
    [
        ("0101ff", Reader.boolean, True),
        ("010100", Reader.boolean, False),
        ("020100", Reader.integer, 0),
        ("0201ff", Reader.integer, -1),
        ("02020080", Reader.integer, 128),
        ("02087fffffffffffffff", Reader.integer, (1 << 63) - 1),
        ("0303000102", Reader.bits, b"\1\2"),
        ("03020780", Reader.flags, {0}),
        ("03020106", Reader.flags, {5, 6}),
        ("030100", Reader.flags, set()),
        ("0603550403", Reader.object, "2.5.4.3"),
        ("06092a864886f70d010701", Reader.object, "1.2.840.113549.1.7.1"),
        ("0603883703", Reader.object, "2.999.3"),
        ("0c02c3a9", Reader.utf8, "é"),
        ("16026162", Reader.ascii, "ab"),
        ("170d3730303130313030303030305a", Reader.time, 0),
        ("170d3439313233313233353935395a", Reader.time, 2524607999),
        ("170d3530303130313030303030305a", Reader.time, -631152000),
        ("180f32303530303130313030303030305a", Reader.time, 2524608000),
        ("181132303530303130313030303030302e355a", Reader.time, 2524608000),
    ],
)
def test_values(data: str, how: Callable[[Reader], Any], expected: Any) -> None:
    assert read(data, how) == expected


@pytest.mark.parametrize(
    ("defect", "data", "how"),
    [
        ("nothing", "", Reader.boolean),
        ("a tag alone", "01", Reader.boolean),
        ("another tag", "020100", Reader.boolean),
        ("cut off", "0102ff", Reader.boolean),
        ("something behind it", "0101ff00", Reader.boolean),
        ("true that is not ff", "010101", Reader.boolean),
        ("boolean of two bytes", "0102ffff", Reader.boolean),
        ("indefinite length", "30800000", lambda r: r.content(SEQUENCE)),
        ("long form of a short length", "308101ff", lambda r: r.content(SEQUENCE)),
        ("length with a zero in front", "30820080" + "00" * 128, lambda r: r.content(SEQUENCE)),
        ("length of 40 bits", "30850000000001ff", lambda r: r.content(SEQUENCE)),
        ("length of 32 bits that is not there", "3084ffffffff", lambda r: r.content(SEQUENCE)),
        ("length that is cut off", "3083ff", lambda r: r.content(SEQUENCE)),
        ("tag of several bytes", "1f8101ff", Reader.any),
        ("empty integer", "0200", Reader.integer),
        ("integer with zeros in front", "02020001", Reader.integer),
        ("integer with ones in front", "0202ffff", Reader.integer),
        ("integer of 72 bits", "0209010000000000000000", Reader.integer),
        ("bit string without its first byte", "0300", Reader.bits),
        ("bit string that ends inside a byte", "03020780", Reader.bits),
        ("flags with zeros at the end", "0303000100", Reader.flags),
        ("flags that say one bit less is unused", "03020680", Reader.flags),
        ("flags of no bits and some unused", "030101", Reader.flags),
        ("flags with an empty byte", "03020000", Reader.flags),
        ("flags with unused bits set", "03020781", Reader.flags),
        ("flags of five bytes", "0306000102030405", Reader.flags),
        ("empty object", "0600", Reader.object),
        ("object with zeros in front", "0603808001", Reader.object),
        ("object that is cut off", "06028880", Reader.object),
        ("object of 65 bytes", "0641" + "01" * 65, Reader.object),
        ("not UTF-8", "0c01ff", Reader.utf8),
        ("not ASCII", "160180", Reader.ascii),
        ("time that is none", "020100", Reader.time),
        ("time without seconds", "170b373030313031303030305a", Reader.time),
        ("time without Z", "170c373030313031303030303030", Reader.time),
        ("time in another zone", "17113730303130313030303030302b30313030", Reader.time),
        ("time with letters", "170d373030313031303030303061" + "5a", Reader.time),
        ("13th month", "170d3730313330313030303030305a", Reader.time),
        ("60th second", "170d3730303130313030303036305a", Reader.time),
        ("30th of February", "180f32303530303233303030303030305a", Reader.time),
        ("fraction of the short form", "170f3730303130313030303030302e355a", Reader.time),
        ("fraction with a zero behind", "181232303530303130313030303030302e35305a", Reader.time),
        ("empty fraction", "181032303530303130313030303030302e5a", Reader.time),
    ],
)
def test_refused(defect: str, data: str, how: Callable[[Reader], Any]) -> None:
    with pytest.raises(DataError) as refusal:
        read(data, how)
    assert refusal.value.code == "trust.der", defect


def test_inside_ends_where_it_ends() -> None:
    """A value that is longer than what it is in, though the bytes are there."""
    with pytest.raises(DataError):
        Reader(bytes.fromhex("3003020200ff"), "it").enter(SEQUENCE).integer()
    with pytest.raises(DataError), Reader(bytes.fromhex("3006020100020101"), "it").enter(SEQUENCE) as inside:
        inside.integer()


@given(st.binary(max_size=70000), st.sampled_from([SEQUENCE, OCTET_STRING, context(3, constructed=True)]))
def test_what_is_encoded_is_read(content: bytes, tag: int) -> None:
    reader = Reader(encode(tag, content) + encode(INTEGER, b"\1"), "it")
    assert reader.tag == tag
    assert reader.content(tag) == content
    assert reader.integer() == 1
    assert reader.is_empty


@given(st.binary(max_size=64), st.data())
def test_any_bytes_are_read_or_refused(data: bytes, choice: st.DataObject) -> None:
    ways: list[Callable[[Reader], Any]] = [
        *(Reader.any, Reader.integer, Reader.boolean, Reader.bits, Reader.flags, Reader.object, Reader.utf8),
        *(Reader.time, Reader.whole, lambda r: r.enter(SEQUENCE), lambda r: r.content(BIT_STRING)),
    ]
    reader = Reader(data, "it")
    while not reader.is_empty:
        try:
            choice.draw(st.sampled_from(ways))(reader)
        except DataError:
            return
