# SPDX-License-Identifier: MIT
"""What lists of globs say about each other, against trying every short path."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powernode.manifest import overlap
from powernode.manifest.globs import compile_globs
from powernode.manifest.overlap import Effort, covers, overlaps

NAMES = [b"a", b"b", b"ab", b"ba", b"c"]
PATHS = [b"/" + b"/".join(names) for length in (1, 2, 3) for names in product(NAMES, repeat=length)]
PARTS = st.sampled_from(["a", "b", "ab", "c", "*", "**", "?", "a*", "*b", "[ab]", "[!a]", "a**"])
GLOBS = (
    st.lists(PARTS, min_size=1, max_size=3)
    .map(lambda parts: "/" + "/".join(parts))
    .flatmap(lambda glob: st.sampled_from([glob, glob + "/"]))
)
LISTS = st.lists(GLOBS, min_size=1, max_size=3)


def matches(globs: list[str], path: bytes, is_directory: bool) -> bool:
    return compile_globs(globs).matches(path, is_directory=is_directory)


def taken(globs: list[str], path: bytes, is_directory: bool) -> bool:
    above = [path[:at] for at in range(1, len(path)) if path[at : at + 1] == b"/"]
    return matches(globs, path, is_directory) or any(matches(globs, parent, True) for parent in above)


@settings(max_examples=60)
@given(LISTS, LISTS)
def test_against_every_short_path(one: list[str], other: list[str]) -> None:
    """`covers` means that no path is a counterexample; no `overlaps`, that none is an example."""
    covered, common = covers(one, by=other), overlaps(one, other)
    for path in PATHS:
        for is_directory in (False, True):
            included = matches(one, path, is_directory)
            if covered:
                assert not included or taken(other, path, is_directory), path
            if not common:
                assert not (included and matches(other, path, is_directory)), path


@settings(max_examples=60)
@given(LISTS, LISTS)
def test_what_follows(one: list[str], other: list[str]) -> None:
    assert covers(one, by=one)
    assert covers(one, by=["/**"])
    assert covers(one, by=one + other)
    assert overlaps(one, other) == overlaps(other, one)


@pytest.mark.parametrize(
    ("globs", "by"),
    [
        (["/etc/redis/**"], ["/etc/redis/"]),
        (["/etc/redis/**"], ["/etc/redis"]),
        (["/etc/redis/redis.conf"], ["/etc/*/*.conf"]),
        (["/etc/a", "/etc/b"], ["/etc/[ab]"]),
        (["/etc/[a-c]"], ["/etc/a", "/etc/b", "/etc/c"]),
        (["/usr/share/doc/**"], ["/usr/share/", "/etc/x"]),
        (["/"], ["/*"]),
        (["/**"], ["/"]),
    ],
)
def test_covered(globs: list[str], by: list[str]) -> None:
    assert covers(globs, by=by)


@pytest.mark.parametrize(
    ("globs", "by"),
    [
        (["/etc/redis/**"], ["/etc/redis/sentinel.conf"]),
        (["/etc/redis/"], ["/etc/redis/**"]),
        (["/etc/**"], ["/etc/*.conf"]),
        (["/etc/*"], ["/etc/[!x]*"]),
        (["/etc/[a-d]"], ["/etc/a", "/etc/b", "/etc/c"]),
    ],
)
def test_not_covered(globs: list[str], by: list[str]) -> None:
    assert not covers(globs, by=by)


def test_overlapping() -> None:
    assert overlaps(["/etc/*.conf"], ["/etc/redis**"])
    assert overlaps(["/etc/"], ["/etc/x"])
    assert not overlaps(["/etc/*.conf"], ["/etc/*.d"])
    assert not overlaps(["/etc/redis/**"], ["/etc/redis"])


def test_an_effort_that_is_used_up_claims_nothing() -> None:
    effort = Effort(1000)
    assert covers(["/etc/redis/**"], by=["/etc/redis/"], effort=effort)
    assert not effort.is_used_up
    assert overlaps(["/etc/redis/[a-k]*" + "[l-z]*" * 40], ["/etc/redis/*[a-k]" + "*[1-9]" * 40], effort=effort)
    assert effort.is_used_up
    assert not covers(["/etc/redis/**"], by=["/etc/redis/"], effort=effort)


def test_more_states_than_are_looked_at_claim_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "MAX_STATES", 3)
    assert not covers(["/etc/redis/**"], by=["/etc/redis/"])
    assert overlaps(["/etc/redis/a*"], ["/etc/redis/b*"])


def test_patterns_that_explode_end_soon() -> None:
    """A star before many classes has exponentially many sets of places."""
    hostile = "/**a" + "[ab]" * 24
    assert not covers(["/**"], by=[hostile])
    assert overlaps([hostile], ["/**b" + "[ab]" * 23])


def test_long_lists_of_files_are_cheap() -> None:
    """As long as those of packages, which would be too many places for one machine."""
    files = [f"/usr/lib/some-package/directory-{number}/file.so" for number in range(3000)]
    assert covers(files, by=["/usr/lib/**"])
    assert not covers([*files, "/usr/bin/x"], by=["/usr/lib/**"])
    assert covers(files, by=files)
    assert overlaps(["/usr/**/file.so"], files)
    assert not overlaps(["/usr/**/file.a"], files)


def test_patterns_that_are_too_long_together_claim_nothing() -> None:
    patterns = [f"/usr/lib/some-package/directory-{number}/*.so" for number in range(3000)]
    assert not covers(["/usr/lib/*/x"], by=patterns)
    assert overlaps(["/usr/lib/*/x"], patterns)
