# SPDX-License-Identifier: MIT
"""The merge: protected paths, locks, dependants, and what does not make a stack."""

from __future__ import annotations

import pytest

from powernode.base.errors import OperatorError
from powernode.composefs.merge import MergeInput, merge
from powernode.composefs.report import ConflictKind, Rule
from powernode.composefs.tree import Directory, Node, Symlink
from powernode.manifest.globs import compile_globs
from unit.composefs._stacks import WHITEOUT, conflicts, content, losses, module, opaque, tree

# -- protection --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [1, 5, 9])
def test_a_protected_path_is_nobody_elses_whatever_the_priority(priority: int) -> None:
    redis = module("redis", 5, {"/etc/redis.conf": "redis"}, protected=["/etc/redis.conf"])
    result = merge([redis, module("other", priority, {"/etc/redis.conf": "other", "/etc/x": "x"})])
    assert content(result) == {"/etc/redis.conf": "redis", "/etc/x": "x"}
    assert losses(result) == [("/etc/redis.conf", "other", "redis", Rule.PROTECTED)]


def test_a_protected_path_stays_free_where_its_owner_does_not_ship_it() -> None:
    redis = module("redis", 5, {"/etc/x": "x"}, protected=["/etc/redis.conf"])
    assert content(merge([redis, module("other", 9, {"/etc/redis.conf": "o"})])) == {"/etc/x": "x"}


def test_a_whiteout_cannot_remove_a_protected_path() -> None:
    redis = module("redis", 1, {"/etc/redis.conf": "redis"}, protected=["/etc/redis.conf"])
    assert content(merge([redis, module("other", 9, {"/etc/redis.conf": WHITEOUT})])) == {"/etc/redis.conf": "redis"}


@pytest.mark.parametrize("hiding", ["file", Symlink(target=b"/srv"), WHITEOUT])
def test_nothing_above_a_protected_path_can_hide_it(hiding: Node | str) -> None:
    redis = module("redis", 1, {"/etc/redis/redis.conf": "redis"}, protected=["/etc/redis/redis.conf"])
    result = merge([redis, module("other", 9, {"/etc/redis": hiding})])
    assert content(result) == {"/etc/redis/redis.conf": "redis"}
    assert losses(result) == [("/etc/redis", "other", "redis", Rule.PROTECTED)]


def test_an_opaque_directory_merges_where_it_would_hide_a_protected_path() -> None:
    redis = module("redis", 1, {"/etc/redis/redis.conf": "redis"}, protected=["/etc/redis/redis.conf"])
    other = module("other", 9, tree({"/etc/redis/x": "other"}, _etc=opaque(), _etc_redis=opaque()))
    result = merge([redis, other])
    assert content(result) == {"/etc/redis/redis.conf": "redis", "/etc/redis/x": "other"}
    assert losses(result) == [(path, "other", "redis", Rule.OPACITY) for path in ("/etc", "/etc/redis")]


def test_an_opaque_equal_of_the_protector_merges_without_a_collision() -> None:
    redis = module("redis", 5, {"/etc/redis/redis.conf": "redis"}, protected=["/etc/redis/redis.conf"])
    equal = module("equal", 5, tree({"/etc/redis/x": "equal"}, _etc_redis=opaque()))
    assert content(merge([redis, equal])) == {"/etc/redis/redis.conf": "redis", "/etc/redis/x": "equal"}


def test_an_opaque_directory_below_the_protector_hides_nothing_of_it_and_counts() -> None:
    redis = module("redis", 9, {"/etc/redis/redis.conf": "redis"}, protected=["/etc/redis/redis.conf"])
    middle = module("middle", 5, tree({"/etc/redis/x": "middle"}, _etc_redis=opaque()))
    result = merge([redis, middle, module("low", 1, {"/etc/redis/y": "low"})])
    assert content(result) == {"/etc/redis/redis.conf": "redis", "/etc/redis/x": "middle"}


def test_two_modules_cannot_protect_the_same_existing_path() -> None:
    one = module("one", 1, {"/etc/foo.conf": "1", "/etc/bar": "1"}, protected=["/etc/foo.conf", "/etc/bar"])
    other = module("other", 2, {"/srv/x": "2"}, protected=["/etc/foo*", "/etc/*r", "/etc/absent"])
    assert conflicts(one, other) == [
        ("/etc/bar", ConflictKind.BOTH_PROTECT, ("one", "other")),
        ("/etc/foo.conf", ConflictKind.BOTH_PROTECT, ("one", "other")),
    ]


def test_protecting_the_same_path_is_fine_while_nobody_has_it() -> None:
    modules = [module(name, place, {f"/{name}": name}, protected=["/etc/x"]) for place, name in enumerate("ab")]
    assert content(merge(modules)) == {"/a": "a", "/b": "b"}


def test_protecting_a_directory_meets_protecting_a_file_in_it() -> None:
    one = module("one", 1, {"/etc/d/x": "1"}, protected=["/etc/d"])
    other = module("other", 2, {"/etc/d/x": "2"}, protected=["/etc/d/x"])
    assert conflicts(one, other) == [("/etc/d/x", ConflictKind.BOTH_PROTECT, ("one", "other"))]


def test_a_directory_protected_twice_is_told_once() -> None:
    files: dict[str, Node | str] = {"/etc/d/x": "x", "/etc/d/y/z": "z"}
    modules = [module(name, place, files, protected=["/etc/d/"]) for place, name in enumerate("ab")]
    assert conflicts(*modules) == [("/etc/d", ConflictKind.BOTH_PROTECT, ("a", "b"))]


def test_what_would_hide_a_protected_path_loses_also_where_that_path_was_lost_to_a_lock() -> None:
    """`low` and `high` are dependants of `base`, which protects /b: the lock of `high` takes what `low` has there."""
    base = module("base", 0, {"/a": "base"}, files=["/a"], protected=["/b/"], dependency=["/"])
    low = module("low", 1, {"/b/c": "low"}, parent="base")
    high = module("high", 2, {"/a": "high"}, parent="base", locked=True)
    files = [module(name, priority, {"/b": name}) for name, priority in (("one", 3), ("two", 4))]
    for above in (files[:1], files):
        result = merge([base, low, high, *above])
        assert content(result) == {"/a": "high"}
        lost = [(loser, by, rule) for path, loser, by, rule in losses(result) if path == "/b"]
        assert lost == [("low", "high", Rule.LOCKED), *((each.name, "base", Rule.PROTECTED) for each in above)]


# -- locks -------------------------------------------------------------------------------------------------------------


def lockable(locked: bool) -> list[MergeInput]:
    """The neighbours of the worked example in the fact sheet."""
    base = module("base", 120000, {"/etc/nginx/nginx.conf": "b", "/etc/nginx/conf.d/b": "b", "/usr/share/nginx/b": "b"})
    nginx = module(
        "nginx",
        350050,
        {"/etc/nginx/nginx.conf": "n", "/usr/share/nginx/n": "n"},
        files=["/etc/nginx/*.conf", "/usr/share/nginx/**"],
        dependency=["/etc/nginx/conf.d/**"],
        locked=locked,
    )
    above = module("above", 400000, {"/usr/share/nginx/a": "a", "/etc/nginx/conf.d/a": "a"})
    return [base, nginx, above]


def test_a_locked_module_reserves_its_specs_against_those_below() -> None:
    above = {"/usr/share/nginx/a": "a", "/etc/nginx/conf.d/a": "a"}
    nginx = {"/etc/nginx/nginx.conf": "n", "/usr/share/nginx/n": "n"}
    free, locked = merge(lockable(False)), merge(lockable(True))
    assert content(free) == {**above, **nginx, "/etc/nginx/conf.d/b": "b", "/usr/share/nginx/b": "b"}
    assert content(locked) == {**above, **nginx}
    assert losses(locked) == [
        ("/etc/nginx/conf.d/b", "base", "nginx", Rule.LOCKED),
        ("/etc/nginx/nginx.conf", "base", "nginx", Rule.LOCKED),
        ("/usr/share/nginx/b", "base", "nginx", Rule.LOCKED),
    ]


def test_a_lock_reserves_nothing_against_an_equal() -> None:
    locked = module("locked", 5, {"/a/x": "x"}, files=["/a/**"], locked=True)
    assert content(merge([locked, module("equal", 5, {"/a/y": "y"})])) == {"/a/x": "x", "/a/y": "y"}


def test_protecting_what_a_higher_lock_reserves_is_a_conflict() -> None:
    locked = module("locked", 9, {"/etc/a": "l"}, files=["/etc/**"], locked=True)
    low = module("low", 1, {"/etc/b": "b"}, protected=["/etc/b"])
    assert conflicts(locked, low) == [("/etc/b", ConflictKind.PROTECTED_AND_RESERVED, ("locked", "low"))]
    high = module("high", 10, {"/etc/b": "b"}, protected=["/etc/b"])
    assert content(merge([locked, high])) == {"/etc/a": "l", "/etc/b": "b"}


# -- dependants --------------------------------------------------------------------------------------------------------


def nginx(locked: bool = False) -> MergeInput:
    return module(
        "nginx",
        350050,
        {"/etc/nginx/nginx.conf": "parent", "/usr/sbin/nginx": "parent"},
        files=["/etc/nginx/*.conf", "/usr/**"],
        dependency=["/etc/nginx/**"],
        protected=["/etc/nginx/nginx.conf", "/usr/sbin/nginx"],
        locked=locked,
    )


@pytest.mark.parametrize("locked", [False, True])
def test_a_dependant_ships_its_parents_dependency_spec_and_may_override(locked: bool) -> None:
    files: dict[str, Node | str] = {"/etc/nginx/nginx.conf": "child", "/usr/sbin/nginx": "child", "/etc/x": "child"}
    child = module("nginx-for-n1", 351050, files, parent="nginx")
    result = merge([nginx(locked=locked), child, module("base", 120000, {"/etc/nginx/nginx.conf": "base"})])
    assert content(result) == {"/etc/nginx/nginx.conf": "child", "/usr/sbin/nginx": "parent"}
    assert losses(result) == [
        ("/etc/nginx/nginx.conf", "base", "nginx", Rule.PROTECTED),
        ("/etc/nginx/nginx.conf", "nginx", "nginx-for-n1", Rule.HIGHER),
        ("/etc/x", "nginx-for-n1", None, Rule.NOT_INCLUDED),
        ("/usr", "nginx-for-n1", None, Rule.NOT_INCLUDED),
        ("/usr/sbin", "nginx-for-n1", None, Rule.NOT_INCLUDED),
        ("/usr/sbin/nginx", "nginx-for-n1", None, Rule.NOT_INCLUDED),
    ]


def test_a_dependant_may_replace_a_directory_its_parent_protects_files_in() -> None:
    parent = module("p", 1, {"/etc/p/c": "p"}, dependency=["/etc/p"], protected=["/etc/p/c"])
    child = module("c", 2, {"/etc/p": Symlink(target=b"/srv/p")}, parent="p")
    assert content(merge([parent, child])) == {"/etc/p": "Symlink"}


def test_what_a_dependant_overrides_is_shielded_too() -> None:
    parent = module("p", 1, {"/x": "x"}, dependency=["/etc/p/**"], protected=["/etc/p/c"])
    child = module("c", 2, {"/etc/p/c": "c"}, parent="p")
    assert content(merge([parent, child, module("o", 3, {"/etc/p": WHITEOUT})])) == {"/x": "x", "/etc/p/c": "c"}


# -- what does not make a stack ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ([], "there is no module to merge"),
        ([module("a", 1, {}), module("a", 2, {})], "a is there more than once"),
        ([module("a", 1, {}, files=None)], "a has no file_spec"),
        ([module("c", 1, {}, parent="p")], "c depends on p, which is not there"),
        ([nginx(), module("c", 350050, {}, parent="nginx")], "its effective priority is not higher"),
        ([module("p", 1, {}), module("c", 2, {}, parent="p")], "c depends on p, which has no dependency_spec"),
        (
            [nginx(), module("c", 400000, {}, parent="nginx"), module("d", 500000, {}, parent="c")],
            "d depends on c, which is a dependant itself",
        ),
    ],
)
def test_what_does_not_make_a_stack_is_refused(modules: list[MergeInput], problem: str) -> None:
    with pytest.raises(OperatorError) as caught:
        merge(modules)
    assert caught.value.code == "merge.input"
    assert problem in (caught.value.found or "")


def test_a_dependant_has_no_file_spec_of_its_own() -> None:
    parent = module("p", 1, {}, dependency=["/a"])
    child = MergeInput(name="c", effective_priority=2, tree=Directory(), file_spec=compile_globs(["/b"]), parent="p")
    with pytest.raises(OperatorError) as caught:
        merge([parent, child])
    assert "c has a file_spec, but takes the dependency_spec of p" in (caught.value.found or "")
