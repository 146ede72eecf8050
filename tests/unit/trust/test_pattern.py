# SPDX-License-Identifier: MIT
"""Patterns match whole names, as Python's `re` would, and cannot be made to take long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import OperatorError
from powernode.trust.pattern import MAX_SUBJECT, exact, matching

URL = "https://git.example.org/acme/redis/.gitea/workflows/build.yaml@refs/tags/v1.2.3"


def test_exact() -> None:
    assert exact("a.b*").matches("a.b*")
    for other in ("a.b", "a.b*\n", "A.b*", "xa.b*", "aXbb", ""):
        assert not exact("a.b*").matches(other)
    assert exact("a") == exact("a") != matching("a")
    assert (str(exact("a")), str(matching("a"))) == ("'a'", "/a/")


def test_what_was_nearly_meant() -> None:
    for expression in (r"https://git\.example\.org/acme", r"https://git\.example\.org/acme/", r".*/build\.yaml"):
        assert "add .*" in (matching(expression).nearly(URL) or "")
    assert matching(r"https://git\.example\.org/evil").nearly(URL) is None
    assert "/ at the end" in (exact("https://id.example/").nearly("https://id.example") or "")
    assert exact("https://id.example").nearly("https://id.example.evil") is None
    start = time.monotonic()
    assert matching("((a|aa)*){64}x").nearly("a/" * MAX_SUBJECT) is None
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("expression", "yes", "no"),
    [
        (r"https://git\.example\.org/acme/.*@refs/tags/v[0-9.]+", [URL], [f"{URL}-rc1", f"x{URL}", f"{URL}\n", ""]),
        (r"^me@example\.org$", ["me@example.org"], ["me@example.org\n", "me@exampleXorg", "\nme@example.org"]),
        (r"a|b", ["a", "b"], ["ab", "", "ax", "xb"]),
        (r"^a|b$", ["a", "b"], ["ax", "xb"]),
        (r"(?:ab)+c?", ["ab", "ababc"], ["abc c", "c", "aba"]),
        (r"[^/]+", ["a b"], ["a/b", ""]),
        (r"[]", [], []),
        (r"[a\-\]]{2}", ["a-", "]a"], ["a", "a-a"]),
        (r"[a-]+", ["a-"], ["b"]),
        (r"x{0}y", ["y"], ["xy"]),
        (r"\d{2,3}", ["12", "123"], ["1", "1234", "١٢"]),
        (r"\w\s\w", ["a b", "_\t9"], ["é b"]),
        (r".*", ["", "é", "a b"], ["a\nb", "a\r"]),
        (r"()*x", ["x"], [""]),
        (r"(a*)*", ["", "aaa"], ["b"]),
        (r"\$\^\|", ["$^|"], [""]),
    ],
)
def test_whole_names(expression: str, yes: list[str], no: list[str]) -> None:
    if not yes and not no:
        with pytest.raises(OperatorError):
            matching(expression)
        return
    pattern = matching(expression)
    assert [name for name in yes if not pattern.matches(name)] == []
    assert [name for name in no if pattern.matches(name)] == []


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("", "empty"),
        ("a" * 513, "size"),
        ("(((a{250}){250}){250})", "size"),
        ("(" * 17 + ")" * 17, "syntax"),
        ("(?i)a", "syntax"),
        ("(?=a)", "syntax"),
        ("(?<!a)b", "syntax"),
        ("(?P<n>a)", "syntax"),
        (r"(a)\1", "syntax"),
        (r"\bword\b", "syntax"),
        (r"a\Z", "syntax"),
        (r"a\\"[:-1], "syntax"),
        ("a**", "syntax"),
        ("a*?", "syntax"),
        ("a++", "syntax"),
        ("*a", "syntax"),
        ("a|*", "syntax"),
        ("a^b", "syntax"),
        ("a$b", "syntax"),
        ("(a$)", "syntax"),
        ("(a", "syntax"),
        ("a)", "syntax"),
        ("[a", "syntax"),
        ("[z-a]", "syntax"),
        ("[[:alpha:]]", "syntax"),
        ("[^]", "syntax"),
        ("a{", "syntax"),
        ("a{,3}", "syntax"),
        ("a{3,2}", "syntax"),
        ("a{257}", "syntax"),
        ("a{1,2,3}", "syntax"),
        ("a{-1}", "syntax"),
    ],
)
def test_refused(expression: str, code: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        matching(expression)
    assert refusal.value.code == f"trust.pattern.{code}"


def test_an_empty_name_is_a_mistake() -> None:
    with pytest.raises(OperatorError) as refusal:
        exact("")
    assert refusal.value.code == "trust.pattern.empty"


def test_long_names_match_nothing() -> None:
    for pattern in (matching(".*"), exact("a" * (MAX_SUBJECT + 1))):
        assert not pattern.matches("a" * (MAX_SUBJECT + 1))
    assert matching(".*").matches("a" * MAX_SUBJECT)


@pytest.mark.parametrize(
    "expression", ["(a+)+", "(a|aa)+", "(a|a?)+", "(.*a){20}", "(a*)*(a*)*(a*)*", "(a?){250}a{250}"]
)
def test_no_pattern_takes_long(expression: str) -> None:
    """Each would keep `re` busy for longer than the universe is old."""
    pattern = matching(expression)
    before = time.process_time()
    assert not pattern.matches("a" * (MAX_SUBJECT - 1) + "!")
    assert time.process_time() - before < 5


ATOMS = st.sampled_from(["a", "b", ".", "1", r"\d", "[ab1]", "[^a]", "[a-b-]", r"\.", "()"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(lambda t: f"({t[0]}){{{t[1]},{t[1] + t[2]}}}"),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS.filter(bool), st.lists(st.text("ab1-.\n", max_size=6), max_size=8), st.booleans())
def test_as_re_does(expression: str, names: list[str], has_anchors: bool) -> None:
    pattern = matching(f"^{expression}$" if has_anchors else expression)
    oracle = re.compile(expression)
    for name in names:
        assert pattern.matches(name) == (oracle.fullmatch(name) is not None), name


@given(st.text("ab.*+?|()[]^-{}12,\\d$", max_size=10))
def test_any_text_is_taken_or_refused(expression: str) -> None:
    """And what is taken, `re` takes as well."""
    try:
        matching(expression)
    except OperatorError:
        return
    re.compile(expression)
