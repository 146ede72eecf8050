# SPDX-License-Identifier: MIT
"""The ar reader yields what is there and refuses what does not add up."""

from __future__ import annotations

import io

import pytest

from powernode.archive import ar
from powernode.base.errors import DataError
from unit.archive import _debs

TWO = _debs.ar(("odd", b"abc"), ("even/", b"defg"))


def read_all(data: bytes, limit: int = 64) -> list[tuple[str, bytes]]:
    return [(name, member.read(1 << 20)) for name, member in ar.members(io.BytesIO(data), limit=limit)]


def test_members_in_order() -> None:
    assert read_all(TWO) == [("odd", b"abc"), ("even", b"defg")]


def test_unread_content_is_skipped() -> None:
    assert [name for name, _ in ar.members(io.BytesIO(TWO))] == ["odd", "even"]


def test_a_stream_that_gives_little_at_a_time() -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(1 if size else 0)

    found = {}
    for name, member in ar.members(Dribble(TWO)):
        found[name] = b""
        while data := member.read(9):
            found[name] += data
    assert found == {"odd": b"abc", "even": b"defg"}


def test_missing_padding_at_the_end_is_no_harm() -> None:
    assert read_all(_debs.ar(("odd", b"abc"))[:-1]) == [("odd", b"abc")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "archive.ar.magic", id="empty"),
        pytest.param(b"!<arch>", "archive.ar.magic", id="magic-cut"),
        pytest.param(TWO[:40], "archive.ar.truncated", id="header-cut"),
        pytest.param(TWO[:70], "archive.ar.truncated", id="content-cut"),
        pytest.param(TWO[:68], "archive.ar.truncated", id="no-content"),
        pytest.param(TWO.replace(b"`\n", b"!!"), "archive.ar.header", id="header-end"),
        pytest.param(TWO.replace(b"3         `", b"-3        `"), "archive.ar.header", id="negative-size"),
        pytest.param(TWO.replace(b"3         `", b"          `"), "archive.ar.header", id="no-size"),
        pytest.param(TWO.replace(b"3         `", b"9999999999`"), "archive.ar.truncated", id="lying-size"),
        pytest.param(TWO.replace(b"odd ", b"o/d "), "archive.ar.header", id="slash-in-name"),
    ],
)
def test_refusals(data: bytes, code: str) -> None:
    with pytest.raises(DataError) as caught:
        read_all(data)
    assert caught.value.code == code


def test_the_number_of_members_is_limited() -> None:
    with pytest.raises(DataError) as caught:
        read_all(_debs.ar(*[("x", b"")] * 9), limit=8)
    assert caught.value.code == "archive.ar.members"
