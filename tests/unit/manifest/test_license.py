# SPDX-License-Identifier: MIT
"""SPDX expressions: the grammar, not the list of licences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.manifest.license import check_license

SIMPLE = st.sampled_from(["MIT", "GPL-2.0+", "LicenseRef-ours", "DocumentRef-x:LicenseRef-y", "0BSD"])
EXPRESSIONS = st.recursive(
    st.one_of(SIMPLE, SIMPLE.map("{} WITH Some-exception-1.0".format)),
    lambda inner: st.one_of(
        st.builds("{} AND {}".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        inner.map("({})".format),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS)
def test_every_expression_of_the_grammar(text: str) -> None:
    check_license(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "MIT GPL", "MIT AND", "AND MIT", "MIT AND OR GPL", "(MIT", "MIT)", "()", "MIT (GPL)", "MIT WITH",
     "MIT WITH AND x", "(MIT) WITH x", "MIT WITH x WITH y", "MIT and GPL", "MIT, GPL", "BSD 3", "MIT/GPL", "-MIT",
     "LicenseRef-", "MIT WITH LicenseRef-a:b", "MIT\nAND x", "MÏT", "WITH", "("],
)  # fmt: skip
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(DataError) as caught:
        check_license(text)
    assert caught.value.code == "license.syntax"


def test_small_letters_are_named() -> None:
    with pytest.raises(DataError, match="write AND in capital letters"):
        check_license("MIT and GPL-2.0-only")
