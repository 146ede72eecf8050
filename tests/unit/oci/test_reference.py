# SPDX-License-Identifier: MIT
"""References: the grammar, and refusals that say what to write instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import OperatorError
from powernode.oci.reference import Reference, is_repository, is_tag

DIGEST = "sha256:" + "ab" * 32

GOOD = {
    "registry.example.com/acme/redis": ("registry.example.com", "acme/redis", None, None),
    "registry.example.com/acme/redis:v0.1.0": ("registry.example.com", "acme/redis", "v0.1.0", None),
    "localhost/a:b": ("localhost", "a", "b", None),
    "127.0.0.1:5000/a/b/c:latest": ("127.0.0.1:5000", "a/b/c", "latest", None),
    "[::1]:5000/a": ("[::1]:5000", "a", None, None),
    "host:80/a__b/c-d.e": ("host:80", "a__b/c-d.e", None, None),
    f"host.example/a@{DIGEST}": ("host.example", "a", None, DIGEST),
    f"host.example/a:t@{DIGEST}": ("host.example", "a", "t", DIGEST),
}


@pytest.mark.parametrize("text", GOOD)
def test_parse(text: str) -> None:
    reference = Reference.parse(text)
    assert (reference.registry, reference.repository, reference.tag, reference.digest) == GOOD[text]
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "cause"),
    {
        "": "registry",
        "redis": "registry",
        "acme/redis": "registry",
        "library/redis:7": "registry",
        "/acme/redis": "registry",
        "https://host.example/a": "registry",
        "user@host.example/a": "registry",
        "-host.example/a": "registry",
        "host.example:/a": "registry",
        "host.example:0/a": "registry",
        "host.example:65536/a": "registry",
        "host.example:port/a": "registry",
        "host.example/": "repository",
        "host.example//a": "repository",
        "host.example/a/": "repository",
        "host.example/A": "repository",
        "host.example/../a": "repository",
        "host.example/a/_catalog": "repository",
        "host.example/a..b": "repository",
        "host.example/a%2fb": "repository",
        "host.example/a\n": "repository",
        f"host.example/{'a' * 256}": "repository",
        "host.example/a:": "tag",
        "host.example/a:-x": "tag",
        "host.example/a:b:c": "tag",
        f"host.example/a:{'t' * 129}": "tag",
        "host.example/a:t\n": "tag",
        "host.example/a@": "digest",
        "host.example/a@latest": "digest",
        f"host.example/a@{DIGEST.upper()}": "digest",
        f"host.example/a@{DIGEST}@{DIGEST}": "digest",
        f"host.example/a@{DIGEST}0": "digest",
        "host.example/a@md5:" + "0" * 32: "digest",
    }.items(),
)
def test_refused(text: str, cause: str) -> None:
    with pytest.raises(OperatorError) as caught:
        Reference.parse(text)
    assert caught.value.code == f"oci.reference.{cause}"


def test_no_registry_is_assumed() -> None:
    with pytest.raises(OperatorError) as caught:
        Reference.parse("acme/redis:7")
    assert caught.value.hint == "write registry.example.com/acme/redis:7"


def test_upper_case_is_explained() -> None:
    with pytest.raises(OperatorError) as caught:
        Reference.parse("registry.example.com/Acme/redis")
    assert caught.value.hint == "names are in lower case"


def test_the_digest_decides() -> None:
    reference = Reference.parse(f"host.example/a:t@{DIGEST}")
    assert reference.version == DIGEST
    assert str(reference.pinned(DIGEST)) == f"host.example/a@{DIGEST}"
    assert str(reference.tagged("v2")) == "host.example/a:v2"
    with pytest.raises(OperatorError, match="no tag"):
        reference.tagged("../x")


@given(st.text(max_size=40))
def test_names_are_safe_names_of_files(text: str) -> None:
    if is_tag(text):
        assert "/" not in text
        assert text not in (".", "..")
    if is_repository(text):
        assert all(part and part[0].isalnum() and part.isascii() for part in text.split("/"))


@given(st.from_regex(r"[a-z.]{1,9}:?[0-9]{0,5}/[a-z0-9._/-]{1,20}(:[A-Za-z0-9._-]{1,9})?", fullmatch=True))
def test_what_is_read_is_written_the_same(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except OperatorError:
        return
    assert str(reference) == text
    assert Reference.parse(str(reference)) == reference
