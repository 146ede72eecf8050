# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.identity.keyvalue import parse
from powernode.base.errors import DataError


def test_pairs_comments_quotes_and_line_ends() -> None:
    text = b"\xef\xbb\xbf# from a laptop\r\nSERVER = https://p.example \r\n\r\nID='a b'\nX=\"=\"\nE=\nE=again"
    assert parse(text, "f") == [
        (2, "SERVER", "https://p.example"),
        (4, "ID", "a b"),
        (5, "X", "="),
        (6, "E", ""),
        (7, "E", "again"),
    ]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"A=1\n\xff\n", "identity.encoding", "f is not UTF-8 text"),
        (b"A=1\nTOKEN s3cret\n", "identity.syntax", "f line 2 cannot be read"),
        (b"=s3cret\n", "identity.syntax", "f line 1 cannot be read"),
        (b"export TOKEN=s3cret\n", "identity.syntax", "f line 1 cannot be read"),
        (b"TOKEN='s3cret\n", "identity.syntax", "f line 1 has no closing quote"),
        (b"TOKEN='\n", "identity.syntax", "f line 1 has no closing quote"),
        (b"TOKEN=s3cret\0\n", "identity.syntax", "f line 1 has control characters"),
        (b"TOKEN=s3cret\x1b[2J\n", "identity.syntax", "f line 1 has control characters"),
        (b"\n" * 1024, "identity.too-large", "f has too many lines"),
    ],
)
def test_bad_text(data: bytes, code: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(data, "f")
    assert (caught.value.code, caught.value.message) == (code, words)
    assert "s3cret" not in str(caught.value)


@given(st.binary())
def test_any_bytes_are_pairs_or_a_refusal(data: bytes) -> None:
    try:
        pairs = parse(data, "f")
    except DataError:
        return
    for number, key, value in pairs:
        assert 1 <= number <= data.count(b"\n") + 1
        assert key
        assert key.isascii()
        assert value.isprintable()


plain = st.text(st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters="'\""), max_size=20)


@given(st.lists(st.tuples(st.from_regex(r"[A-Za-z0-9_.-]{1,10}", fullmatch=True), plain), max_size=10))
def test_what_is_written_is_read(pairs: list[tuple[str, str]]) -> None:
    text = "".join(f"{key}={value}\n" for key, value in pairs)
    assert [(key, value) for _, key, value in parse(text.encode(), "f")] == pairs
