# SPDX-License-Identifier: MIT
"""Versions against semver's own examples, constraints against what their operators mean."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.manifest.constraint import Constraint, Version

NUMBERS = st.integers(0, 12)
WORDS = st.sampled_from(["alpha", "beta", "rc", "0", "1", "11", "2", "x-y", "1a", "-"])
VERSIONS = st.builds(
    lambda major, minor, patch, pre, build: Version(
        major=major, minor=minor, patch=patch, prerelease=tuple(pre), build=tuple(build)
    ),
    *(NUMBERS, NUMBERS, NUMBERS, st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=2)),
)
RELEASES = st.builds(lambda a, b, c: Version(major=a, minor=b, patch=c), NUMBERS, NUMBERS, NUMBERS)
OPERATORS = st.sampled_from(["", "=", "!=", ">", ">=", "<", "<=", "^", "~", "~>"])
SHORT = st.one_of(
    VERSIONS.map(str), NUMBERS.map(str), st.tuples(NUMBERS, NUMBERS).map(lambda numbers: f"{numbers[0]}.{numbers[1]}")
)
CONSTRAINTS = st.lists(st.tuples(OPERATORS, SHORT).map("".join), min_size=1, max_size=3).map(", ".join)


def allows(constraint: str, version: str) -> bool:
    return Constraint.parse(constraint).allows(Version.parse(version))


def test_the_order_of_the_specification() -> None:
    listed = (
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 2.0.0 2.1.0"
    )
    versions = [Version.parse(text) for text in listed.split()]
    Random(1).shuffle(versions)
    assert " ".join(map(str, sorted(versions, key=lambda version: version.precedence))) == listed


@pytest.mark.parametrize(
    "text",
    [
        *("1.2", "1.2.3.4", "v1.2.3", "1.02.3", "1.2.3-01", "1.2.3-", "1.2.3+", "1.2.3-a..b", "-1.2.3", "1.2.x", ""),
        *(" 1.2.3", "1.2.3\n", "1.2.3-ä", "1.2.\u0663", f"1.2.{'9' * 19}", "1.2.3-" + "a" * 300),
    ],
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(DataError) as caught:
        Version.parse(text)
    assert caught.value.code == "constraint.version"


def test_a_tag_is_no_version() -> None:
    with pytest.raises(DataError, match=r"the version is 1\.2\.3"):
        Version.parse("v1.2.3")


@given(VERSIONS)
def test_a_version_is_what_it_prints(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(CONSTRAINTS)
def test_a_constraint_is_what_it_prints(text: str) -> None:
    constraint = Constraint.parse(text)
    assert Constraint.parse(str(constraint)) == constraint


@pytest.mark.parametrize(
    ("constraint", "inside", "outside"),
    [
        ("1.2.3", ["1.2.3", "1.2.3+build"], ["1.2.4", "1.2.2"]),
        ("1.2", ["1.2.0"], ["1.2.1"]),
        ("!=1.2.3", ["1.2.4", "0.1.0"], ["1.2.3", "1.2.3+x"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4", "0.0.2"]),
        ("^0.0", ["0.0.0", "0.0.9"], ["0.1.0"]),
        ("^0", ["0.0.0", "0.9.9"], ["1.0.0"]),
        ("^1", ["1.0.0", "1.9.9"], ["2.0.0", "0.9.9"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0", "1.2.2"]),
        ("~1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("~>1.2.3", ["1.2.9"], ["1.3.0"]),
        ("~>1.2", ["1.2.0", "1.9.0"], ["2.0.0", "1.1.9"]),
        ("~>1", ["1.9.0"], ["2.0.0"]),
        (">=1.2, <2, !=1.5.0", ["1.2.0", "1.9.9"], ["1.5.0", "2.0.0", "1.1.9"]),
        ("> 1.2", ["1.2.1"], ["1.2.0"]),
        ("<=1.2.3", ["1.2.3"], ["1.2.4"]),
        (">=1.2.3-rc.1", ["1.2.3-rc.1", "1.2.3-rc.2", "1.2.3", "1.3.0"], ["1.2.3-beta", "1.3.0-rc.1"]),
        ("^1.0", ["1.5.0"], ["1.5.0-rc.1", "2.0.0-rc.1"]),
        ("<2.0.0", ["1.9.9"], ["2.0.0-rc.1"]),
    ],
)
def test_what_a_constraint_allows(constraint: str, inside: list[str], outside: list[str]) -> None:
    assert [version for version in inside if not allows(constraint, version)] == []
    assert [version for version in outside if allows(constraint, version)] == []


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", None),
        (",", None),
        ("^", None),
        ("^1.0,", None),
        (">=1.0 <2.0", "comma"),
        ("1.x", "~1.2"),
        ("*", "~1.2"),
        ("^1.0 || ^2.0", "no `or`"),
        ("=>1.0", None),
        ("== 1.0", None),
        ("1.2.3.4", None),
        ("^v1", None),
        (">=\n1.0", None),
        ("1.0," * 100, None),
    ],
)
def test_what_is_no_constraint(text: str, hint: str | None) -> None:
    with pytest.raises(DataError) as caught:
        Constraint.parse(text)
    assert caught.value.code == "constraint.syntax"
    assert (hint or "") in (caught.value.hint or "")


@given(VERSIONS, VERSIONS)
def test_comparisons_are_one_order(one: Version, other: Version) -> None:
    """Of two versions, exactly the operators that the order says hold; pre-releases are named, so that they count."""
    core = f"{other.major}.{other.minor}.{other.patch}"
    if one.prerelease and not (other.prerelease and one.core == other.core):
        assert not Constraint.parse(f">=0.0.0, !={core}").allows(one)
        return
    holding = {operator for operator in ("=", "!=", "<", "<=", ">", ">=") if allows(f"{operator}{other}", str(one))}
    if one.precedence < other.precedence:
        assert holding == {"!=", "<", "<="}
    elif one.precedence > other.precedence:
        assert holding == {"!=", ">", ">="}
    else:
        assert holding == {"=", "<=", ">="}


@given(RELEASES, RELEASES)
def test_caret_and_tilde_are_ranges_that_do_not_cross(base: Version, version: Version) -> None:
    for operator in ("^", "~", "~>"):
        if allows(f"{operator}{base}", str(version)):
            assert version.precedence >= base.precedence
            assert version.major == base.major
            assert operator == "^" or version.minor == base.minor
            assert base.major or version.minor == base.minor


@given(CONSTRAINTS, CONSTRAINTS, VERSIONS)
def test_a_comma_means_that_both_hold(one: str, other: str, version: Version) -> None:
    if not version.prerelease:
        both = Constraint.parse(f"{one},{other}").allows(version)
        assert both == (Constraint.parse(one).allows(version) and Constraint.parse(other).allows(version))


@given(CONSTRAINTS, VERSIONS)
def test_build_metadata_never_counts(constraint: str, version: Version) -> None:
    plain = Version(major=version.major, minor=version.minor, patch=version.patch, prerelease=version.prerelease)
    assert Constraint.parse(constraint).allows(version) == Constraint.parse(constraint).allows(plain)
