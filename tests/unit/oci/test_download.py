# SPDX-License-Identifier: MIT
"""A download that breaks off anywhere, any number of times, at a registry with or without ranges, gives the blob."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.net.http import Headers, Url
from powernode.net.retry import Rules
from powernode.oci.documents import describe
from powernode.oci.download import Download, check_range, range_header
from powernode.oci.exchange import Reply

DATA = bytes(range(200))
BLOB = describe(DATA, "application/x")
URL = Url.parse("http://registry.example/")


def reply(status: int, **headers: str) -> Reply:
    items = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Reply(status, Headers(items), b"", URL)


def answer(download: Download, *, ranges: bool) -> tuple[Reply, bytes]:
    """What an honest registry gives for the download's request."""
    headers = dict(download.headers())
    if "Range" not in headers or not ranges:
        return reply(200, Content_Length=str(len(DATA))), DATA
    start = int(headers["Range"].removeprefix("bytes=").partition("-")[0])
    return reply(206, Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"), DATA[start:]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 250), st.integers(1, 90)), max_size=12))
def test_every_way_to_break(breaks: list[tuple[bool, int, int]]) -> None:
    download, got = Download(BLOB), b""
    for ranges, size, piece in [*breaks, (True, 1000, 7)]:
        if download.is_complete:
            break
        head, body = answer(download, ranges=ranges)
        download.begin(head)
        body = body[:size]
        for at in range(0, len(body), piece):
            got += download.take(body[at : at + piece])
    download.ended()
    download.finish()
    assert got == DATA


@pytest.mark.parametrize(
    ("position", "head", "code"),
    [
        (0, reply(200, Content_Length="199"), "oci.blob.size"),
        (0, reply(206), "oci.range.wrong"),
        (10, reply(206, Content_Range="bytes 0-199/200"), "oci.range.wrong"),
        (10, reply(206, Content_Range="bytes 10-199/999"), "oci.range.wrong"),
        (10, reply(206, Content_Range="bytes 10-150/200"), "oci.range.wrong"),
        (10, reply(206, Content_Range="bytes 10-199/200", Content_Length="5"), "oci.range.wrong"),
        (10, reply(200, Content_Length="190"), "oci.blob.size"),
    ],
)
def test_answers_to_another_question(position: int, head: Reply, code: str) -> None:
    download = Download(BLOB)
    download.take(DATA[:position])
    with pytest.raises(DataError) as caught:
        download.begin(head)
    assert caught.value.code == code


def test_too_much_and_too_little() -> None:
    download = Download(BLOB)
    download.take(DATA[:150])
    with pytest.raises(DataError) as early:
        download.ended()
    with pytest.raises(DataError) as more:
        download.take(DATA[:51])
    assert (early.value.code, more.value.code) == ("net.truncated", "oci.blob.size")


def test_other_content() -> None:
    download = Download(BLOB)
    download.take(DATA[::-1])
    with pytest.raises(DataError) as caught:
        download.finish()
    assert caught.value.code == "oci.blob.digest"


def test_only_progress_renews_the_tries() -> None:
    rules = Rules(tries=3)
    large = describe(bytes(5 << 20), "application/x")
    download = Download(large)

    def tries() -> int:
        number = 0
        while download.pause_after(rules, "net.lost", 0.5) is not None:
            number += 1
            download.take(b"\0")  # a byte for each connection is no progress
        return number

    assert tries() == 2
    download.take(bytes(1 << 20))
    assert tries() == 2
    assert download.pause_after(rules, "oci.blob.digest", 0.5) is None


def test_ranges() -> None:
    assert range_header(5, 10) == ("Range", "bytes=5-14")
    check_range(reply(206, Content_Range="bytes 5-14/200", Content_Length="10"), 5, 10, BLOB)
    check_range(reply(206, Content_Range="bytes 5-14/*"), 5, 10, BLOB)
    with pytest.raises(DataError) as caught:
        check_range(reply(200), 5, 10, BLOB)
    assert caught.value.code == "oci.range.unsupported"
