# SPDX-License-Identifier: MIT
"""Digests: one form, and content compared with it."""

from __future__ import annotations

import hashlib

import pytest

from powernode.base.errors import DataError
from powernode.oci.digests import check_content, check_digest, digest_of, hasher_for, hex_of, is_digest

EMPTY = "sha256:" + hashlib.sha256().hexdigest()
LONG = "sha512:" + hashlib.sha512(b"x").hexdigest()


@pytest.mark.parametrize("digest", [EMPTY, LONG])
def test_good(digest: str) -> None:
    assert check_digest(digest, what="it") == digest
    assert digest.endswith(hex_of(digest))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        EMPTY[7:],
        EMPTY.upper(),
        EMPTY[:-1],
        f"{EMPTY}0",
        f"{EMPTY}\n",
        f" {EMPTY}",
        "md5:" + "0" * 32,
    ],
)
def test_bad(text: str) -> None:
    assert not is_digest(text)
    with pytest.raises(DataError) as caught:
        check_digest(text, what="it", code="some.code")
    assert caught.value.code == "some.code"


def test_content() -> None:
    assert digest_of(b"") == EMPTY
    for digest, data in ((EMPTY, b""), (LONG, b"x")):
        hasher = hasher_for(digest)
        hasher.update(data)
        check_content(hasher, digest)
        hasher.update(b"y")
        with pytest.raises(DataError) as caught:
            check_content(hasher, digest)
        assert caught.value.code == "oci.blob.digest"
