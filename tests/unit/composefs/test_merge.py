# SPDX-License-Identifier: MIT
"""The merge by example: one test for each rule of ownership."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from powernode.base.errors import OperatorError
from powernode.composefs.merge import MergeInput, MergeResult, explain, merge
from powernode.composefs.report import Conflict, ConflictKind, Loss, MergeConflictError, Rule
from powernode.composefs.tree import CharacterDevice, Directory, Node, RegularFile, Symlink, walk
from powernode.manifest.globs import compile_globs

WHITEOUT = CharacterDevice(rdev=0)


def tree(paths: dict[str, Node | str], **directories: Directory) -> Directory:
    """Directories come from the paths; a text is the content of a file. `/x/` is an empty directory."""
    nested: dict[bytes, object] = {}
    for path, value in paths.items():
        *parents, name = path.strip("/").split("/")
        at = nested
        for parent in parents:
            at = at.setdefault(parent.encode(), {})  # type: ignore[assignment]
        node = RegularFile(size=len(value), content=value.encode()) if isinstance(value, str) else value
        at[name.encode()] = {} if path.endswith("/") else node

    def build(entries: dict[bytes, object], path: str) -> Directory:
        like = directories.get(path.replace("/", "_"), Directory())
        built = {n: build(v, f"{path}/{n.decode()}") if isinstance(v, dict) else v for n, v in entries.items()}
        return replace(like, entries=cast("dict[bytes, Node]", built))

    return build(nested, "")


def opaque(name: bytes = b"trusted.overlay.opaque") -> Directory:
    return Directory(xattrs=((name, b"y"),))


def module(
    name: str,
    priority: int,
    content: Directory | dict[str, Node | str],
    *,
    files: Sequence[str] | None = ("/**",),
    mask: Sequence[str] = (),
    protected: Sequence[str] = (),
    dependency: Sequence[str] | None = None,
    locked: bool = False,
    parent: str | None = None,
) -> MergeInput:
    return MergeInput(
        name=name,
        effective_priority=priority,
        tree=content if isinstance(content, Directory) else tree(content),
        file_spec=None if files is None or parent else compile_globs(files),
        mask=compile_globs(mask) if mask else None,
        protected_spec=compile_globs(protected) if protected else None,
        dependency_spec=None if dependency is None else compile_globs(dependency),
        locked=locked,
        parent=parent,
    )


def content(result: MergeResult) -> dict[str, str]:
    """Leaves by path: the content, or the type."""
    return {
        path.decode(): node.content.decode() if isinstance(node, RegularFile) and node.content else type(node).__name__
        for path, node in walk(result.tree)
        if not isinstance(node, Directory)
    }


def losses(result: MergeResult) -> list[tuple[str, str, str | None, Rule]]:
    return [(loss.path.decode(), loss.loser, loss.winner, loss.rule) for loss in result.lost]


def conflicts(*modules: MergeInput) -> list[tuple[str, ConflictKind, tuple[str, ...]]]:
    with pytest.raises(MergeConflictError) as caught:
        merge(modules)
    return [(conflict.path.decode(), conflict.kind, conflict.modules) for conflict in caught.value.conflicts]


def node_at(result: MergeResult, path: bytes) -> Node:
    return dict(walk(result.tree))[path]


# -- one module --------------------------------------------------------------------------------------------------------


def test_a_module_is_its_file_spec_with_the_parents_minus_its_mask() -> None:
    redis = module(
        "redis",
        1,
        {"/etc/redis/redis.conf": "r", "/etc/redis/sentinel.conf": "s", "/etc/motd": "m", "/srv/x": "x"},
        files=["/etc/redis/**"],
        mask=["/etc/redis/sentinel.conf"],
    )
    result = merge([redis])
    assert [path for path, _ in walk(result.tree)] == [b"/", b"/etc", b"/etc/redis", b"/etc/redis/redis.conf"]
    assert losses(result) == [
        ("/etc/motd", "redis", None, Rule.NOT_INCLUDED),
        ("/etc/redis/sentinel.conf", "redis", None, Rule.MASK),
        ("/srv", "redis", None, Rule.NOT_INCLUDED),
        ("/srv/x", "redis", None, Rule.NOT_INCLUDED),
    ]


def test_a_masked_directory_takes_its_content_with_it() -> None:
    result = merge([module("m", 1, {"/var/cache/apt/x/y": "y", "/var/z": "z"}, mask=["/var/cache"])])
    assert content(result) == {"/var/z": "z"}
    below = ["/var/cache/apt", "/var/cache/apt/x", "/var/cache/apt/x/y"]
    assert [path for path, *_ in losses(result)] == ["/var/cache", *below]


def test_an_empty_directory_stays_where_it_is_included_itself() -> None:
    empty = {"/var/lib/redis/": "", "/var/lib/other/": ""}
    result = merge([module("m", 1, dict(empty), files=["/var/lib/redis/"])])
    assert [path for path, _ in walk(result.tree)][-1] == b"/var/lib/redis"


def test_nothing_included_leaves_an_empty_root() -> None:
    result = merge([module("m", 1, {"/a/b": "x"}, files=[])])
    assert [path for path, _ in walk(result.tree)] == [b"/"]


# -- priority ----------------------------------------------------------------------------------------------------------


def test_the_higher_one_wins_and_directories_merge() -> None:
    low = module("low", 1, {"/etc/a": "low", "/etc/b": "low"})
    high = module("high", 2, {"/etc/a": "high", "/etc/c": "high"})
    result = merge([low, high])
    assert content(result) == {"/etc/a": "high", "/etc/b": "low", "/etc/c": "high"}
    assert losses(result) == [("/etc/a", "low", "high", Rule.HIGHER)]
    assert result.modules == ("high", "low")
    assert result.givers[b"/etc"] == "high"


def test_a_mask_never_reaches_another_module() -> None:
    high = module("high", 2, {"/etc/a": "high"}, mask=["/etc/**"])
    assert content(merge([module("low", 1, {"/etc/a": "low"}), high])) == {"/etc/a": "low"}


def test_a_directory_has_the_attributes_of_the_highest_that_includes_it() -> None:
    low = module("low", 1, tree({"/etc/a": "x"}, _etc=Directory(mode=0o700, uid=5, mtime_s=9)))
    high = module("high", 2, tree({"/etc/b": "x"}, _etc=Directory(mode=0o750, mtime_s=3)))
    result = merge([low, high])
    etc = node_at(result, b"/etc")
    assert (etc.mode, etc.uid, etc.mtime_s) == (0o750, 0, 3)
    assert losses(result) == [("/etc", "low", "high", Rule.ATTRIBUTES)]


def attributes(result: MergeResult) -> dict[str, tuple[int, int]]:
    return {path.decode(): (node.mode, node.uid) for path, node in walk(result.tree) if isinstance(node, Directory)}


def strange(files: dict[str, Node | str]) -> Directory:
    """A tree whose `/` and `/etc` have a mode and an owner of their own."""
    return replace(tree(files, _etc=Directory(mode=0o777, uid=9)), mode=0o777, uid=9)


def test_a_mere_parent_gives_no_attributes_where_somebody_includes_the_directory() -> None:
    base = module("base", 1, {"/etc/motd": "base"})
    redis = module("redis", 2, strange({"/etc/redis/x": "redis"}), files=["/etc/redis/**"], dependency=["/etc/redis/*"])
    child = module("redis-for-n1", 3, strange({"/etc/redis/y": "child"}), parent="redis")
    result = merge([base, redis, child])
    assert content(result) == {"/etc/motd": "base", "/etc/redis/x": "redis", "/etc/redis/y": "child"}
    assert attributes(result) == {"/": (0o755, 0), "/etc": (0o755, 0), "/etc/redis": (0o755, 0)}
    assert (result.givers[b"/"], result.givers[b"/etc"], result.givers[b"/etc/redis"]) == (
        "base",
        "base",
        "redis-for-n1",
    )
    assert losses(result) == [
        (path, loser, "base", Rule.ATTRIBUTES) for path in ("/", "/etc") for loser in ("redis", "redis-for-n1")
    ]


def test_an_included_directory_gives_its_attributes_to_those_below_and_above() -> None:
    spec = ["/etc", "/etc/a"]
    modules = [
        module("low", 1, tree({"/etc/c": "low"}, _etc=Directory(mode=0o711))),
        module("middle", 2, tree({"/etc/a": "middle"}, _etc=Directory(mode=0o750)), files=spec),
        module("top", 3, tree({"/etc/b": "top"}, _etc=Directory(mode=0o777)), files=["/etc/b"]),
    ]
    result = merge(modules)
    assert attributes(result)["/etc"] == (0o750, 0)
    assert losses(result) == [("/etc", name, "middle", Rule.ATTRIBUTES) for name in ("low", "top")]
    assert result.lost[0].describe() == (
        "/etc of low: the directory has the attributes of middle, whose claim to it comes first"
    )


def test_where_everybody_has_it_as_a_parent_only_the_highest_gives_the_attributes() -> None:
    low = module("low", 1, tree({"/etc/a": "low"}, _etc=Directory(mode=0o711)), files=["/etc/a"])
    high = module("high", 2, tree({"/etc/b": "high"}, _etc=Directory(mode=0o750)), files=["/etc/b"])
    result = merge([low, high])
    assert attributes(result)["/etc"] == (0o750, 0)
    assert losses(result) == [("/etc", "low", "high", Rule.ATTRIBUTES)]


def test_a_masked_directory_gives_no_attributes() -> None:
    low = module("low", 1, tree({"/etc/a": "low"}, _etc=Directory(mode=0o711)), files=["/etc/a"])
    high = module("high", 2, tree({"/etc/b": "high", "/x": "x"}, _etc=Directory(mode=0o750)), mask=["/etc"])
    assert attributes(merge([low, high]))["/etc"] == (0o711, 0)


def test_a_hidden_directory_gives_no_attributes() -> None:
    owner = module("owner", 1, tree({"/etc/a": "x"}, _etc=Directory(mode=0o711)))
    middle = module("middle", 2, {"/etc": "a file"})
    top = module("top", 3, tree({"/etc/b": "x"}, _etc=Directory(mode=0o750)), files=["/etc/b"])
    assert attributes(merge([owner, middle, top]))["/etc"] == (0o750, 0)


@pytest.mark.parametrize("protected", ["/etc/redis", "/etc/redis/", "/etc/*", "/etc", "/"])
def test_a_protected_directory_keeps_its_attributes_even_from_a_dependant_that_includes_it(protected: str) -> None:
    parent = module(
        "redis",
        1,
        tree({"/etc/redis/x": "parent"}, _etc_redis=Directory(mode=0o750, uid=7)),
        files=["/etc/redis/*"],
        dependency=["/etc/redis/"],
        protected=[protected],
    )
    child = module("child", 2, tree({"/etc/redis/x": "child"}, _etc_redis=Directory(mode=0o777)), parent="redis")
    result = merge([parent, child])
    assert content(result) == {"/etc/redis/x": "child"}
    assert attributes(result)["/etc/redis"] == (0o750, 7)
    assert losses(result) == [
        ("/etc/redis", "child", "redis", Rule.ATTRIBUTES),
        ("/etc/redis/x", "redis", "child", Rule.HIGHER),
    ]


def test_protecting_what_is_in_a_directory_does_not_protect_the_directory() -> None:
    parent = module("p", 1, tree({"/d/x": "p"}, _d=Directory(mode=0o750)), dependency=["/d/"], protected=["/d/**"])
    child = module("c", 2, tree({"/d/y": "c"}, _d=Directory(mode=0o700)), parent="p")
    assert attributes(merge([parent, child]))["/d"] == (0o700, 0)


@pytest.mark.parametrize("protected", ["/", "/**"])
def test_who_protects_everything_gives_the_attributes_of_the_root(protected: str) -> None:
    low = module("low", 1, replace(tree({"/a": "low"}), mode=0o711), files=["/a"], protected=[protected])
    result = merge([low, module("high", 2, replace(tree({"/b": "high"}), mode=0o700))])
    assert content(result) == {"/a": "low"}
    assert attributes(result)["/"] == (0o711, 0)


def test_equals_collide_over_attributes_only_where_theirs_count() -> None:
    def equal(name: str, mode: int, files: list[str]) -> MergeInput:
        return module(name, 5, tree({f"/etc/{name}": name}, _etc=Directory(mode=mode)), files=files)

    owner = module("owner", 1, tree({"/etc/z": "z"}, _etc=Directory(mode=0o711)))
    parents = [equal("one", 0o700, ["/etc/one"]), equal("other", 0o750, ["/etc/other"])]
    assert attributes(merge([owner, *parents]))["/etc"] == (0o711, 0)
    assert conflicts(*parents) == [("/etc", ConflictKind.EQUAL_PRIORITY, ("one", "other"))]
    owners = [equal("one", 0o700, ["/etc"]), equal("other", 0o750, ["/etc"])]
    top = module("top", 9, tree({"/etc/t": "t"}, _etc=Directory(mode=0o777)), files=["/etc/t"])
    assert conflicts(top, *owners) == [("/etc", ConflictKind.EQUAL_PRIORITY, ("one", "other"))]


def test_a_file_replaces_a_directory_and_a_directory_a_file() -> None:
    low = module("low", 1, {"/a/x/y": "low", "/b": "low"})
    high = module("high", 2, {"/a": "high", "/b/z": "high"})
    result = merge([low, high])
    assert content(result) == {"/a": "high", "/b/z": "high"}
    assert losses(result) == [
        ("/a", "low", "high", Rule.REPLACED),
        ("/a/x", "low", "high", Rule.REPLACED),
        ("/a/x/y", "low", "high", Rule.REPLACED),
        ("/b", "low", "high", Rule.HIGHER),
    ]


def test_a_file_in_the_middle_hides_what_is_below_it_as_in_overlayfs() -> None:
    result = merge([module("1", 1, {"/a/x": "1"}), module("2", 2, {"/a": "2"}), module("3", 3, {"/a/y": "3"})])
    assert content(result) == {"/a/y": "3"}
    assert losses(result) == [
        ("/a", "1", "2", Rule.REPLACED),
        ("/a", "2", "3", Rule.HIGHER),
        ("/a/x", "1", "2", Rule.REPLACED),
    ]


def test_a_whiteout_removes_and_is_not_in_the_result() -> None:
    low = module("low", 1, {"/etc/motd": "m", "/usr/doc/x": "x", "/etc/keep": "k"})
    high = module("high", 2, {"/etc/motd": WHITEOUT, "/usr/doc": WHITEOUT, "/etc/nothing": WHITEOUT})
    result = merge([low, high])
    assert content(result) == {"/etc/keep": "k"}
    assert losses(result) == [
        ("/etc/motd", "low", "high", Rule.WHITEOUT),
        ("/usr/doc", "low", "high", Rule.WHITEOUT),
        ("/usr/doc/x", "low", "high", Rule.WHITEOUT),
    ]
    assert result.removed == {b"/etc/motd": "high", b"/usr/doc": "high", b"/etc/nothing": "high"}


def test_other_devices_are_no_whiteouts() -> None:
    result = merge([module("m", 1, {"/dev/null": CharacterDevice(rdev=0x103)})])
    assert content(result) == {"/dev/null": "CharacterDevice"}


@pytest.mark.parametrize("name", [b"trusted.overlay.opaque", b"user.overlay.opaque"])
def test_an_opaque_directory_empties_what_is_below_and_becomes_ordinary(name: bytes) -> None:
    low = module("low", 1, {"/etc/a": "low", "/etc/d/b": "low"})
    high = module("high", 2, tree({"/etc/a": "high"}, _etc=opaque(name)))
    result = merge([low, high])
    assert content(result) == {"/etc/a": "high"}
    assert node_at(result, b"/etc").xattrs == ()
    assert losses(result) == [(path, "low", "high", Rule.OPAQUE) for path in ("/etc", "/etc/a", "/etc/d", "/etc/d/b")]


def test_x_is_not_opaque() -> None:
    marked = Directory(xattrs=((b"trusted.overlay.opaque", b"x"),))
    result = merge([module("low", 1, {"/etc/a": "low"}), module("high", 2, tree({"/etc/b": "high"}, _etc=marked))])
    assert content(result) == {"/etc/a": "low", "/etc/b": "high"}
    assert node_at(result, b"/etc").xattrs == marked.xattrs


def test_a_directory_that_is_only_a_parent_may_not_be_opaque() -> None:
    low = module("low", 1, {"/etc/a": "low"})
    high = module("high", 2, tree({"/etc/redis/c": "high"}, _etc=opaque()), files=["/etc/redis/**"])
    result = merge([low, high])
    assert content(result) == {"/etc/a": "low", "/etc/redis/c": "high"}
    assert losses(result) == [("/etc", "high", None, Rule.OPACITY)]


# -- equal priority ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"/etc/a": "same"}, {"/etc/a": "same"}),
        ({"/etc/a": "x"}, {"/etc/a/b": "y"}),
        ({"/etc/a": WHITEOUT}, {"/etc/a": "y"}),
        (tree({"/etc/a/": ""}, _etc_a=opaque()), {"/etc/a/": ""}),
        (tree({"/etc/a/": ""}, _etc_a=Directory(mode=0o700)), {"/etc/a/": ""}),
    ],
)
def test_equals_may_not_collide(one: Directory | dict[str, Node | str], other: dict[str, Node | str]) -> None:
    found = conflicts(module("one", 5, one), module("other", 5, other))
    assert found == [("/etc/a", ConflictKind.EQUAL_PRIORITY, ("one", "other"))]


def test_equal_directories_merge_and_the_first_name_gives_the_times() -> None:
    one, other = (tree({f"/etc/{name}": name}, _etc=Directory(mtime_s=t)) for name, t in (("b", 8), ("a", 9)))
    result = merge([module("b", 5, one), module("a", 5, other)])
    assert content(result) == {"/etc/a": "a", "/etc/b": "b"}
    assert node_at(result, b"/etc").mtime_s == 9


def test_what_a_higher_module_settles_is_no_collision() -> None:
    equals = [module("one", 5, {"/etc/a": "1"}), module("other", 5, {"/etc/a": "2"})]
    result = merge([*equals, module("top", 6, {"/etc/a": "3"})])
    assert content(result) == {"/etc/a": "3"}
    assert {loss.winner for loss in result.lost} == {"top"}


@pytest.mark.parametrize("top", [{"/a": "top"}, {"/a": WHITEOUT}, tree({"/a/y": "top"}, _a=opaque())])
def test_what_is_hidden_anyway_is_no_collision(top: Directory | dict[str, Node | str]) -> None:
    equals = [module("one", 5, {"/a": "1"}), module("other", 5, {"/a/x": "2"})]
    alone = merge([module("top", 6, top)])
    assert content(merge([*equals, module("top", 6, top)])) == content(alone)


def test_equals_collide_below_a_higher_directory_where_it_matters() -> None:
    equals = [module("one", 5, {"/a": "1"}), module("other", 5, {"/a/x": "2"})]
    found = conflicts(*equals, module("top", 6, {"/a/y": "3"}))
    assert found == [("/a", ConflictKind.EQUAL_PRIORITY, ("one", "other"))]


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


# -- hard links --------------------------------------------------------------------------------------------------------


def test_hard_links_survive_where_both_names_do() -> None:
    file = RegularFile(size=1, content=b"x", nlink=3)
    linked = module("linked", 1, {"/a": file, "/b": file, "/c": file})
    result = merge([linked, module("top", 2, {"/c": "top"})])
    a, b, c = (node_at(result, path) for path in (b"/a", b"/b", b"/c"))
    assert a is b
    assert a is not c
    assert (a.nlink, c.nlink) == (2, 1)


def test_a_node_shared_by_two_modules_is_no_link_between_them() -> None:
    file = RegularFile(size=1, content=b"x")
    result = merge([module("one", 1, {"/a": file, "/b": "other"}), module("two", 2, {"/b": file})])
    a, b = node_at(result, b"/a"), node_at(result, b"/b")
    assert a is not b
    assert (a.nlink, b.nlink) == (1, 1)


def test_entries_are_in_the_order_of_names() -> None:
    result = merge([module("one", 1, {"/z": "1", "/b/x": "1", "/m": "1"}), module("two", 2, {"/c": "2", "/a/x": "2"})])
    assert list(result.tree.entries) == [b"a", b"b", b"c", b"m", b"z"]


def test_directories_count_their_directories() -> None:
    result = merge([module("one", 1, {"/a/b/c": "1"}), module("two", 2, {"/a/d/e": "2"})])
    assert [node_at(result, path).nlink for path in (b"/", b"/a", b"/a/b")] == [3, 4, 2]


# -- the report --------------------------------------------------------------------------------------------------------


def test_all_conflicts_are_told_together_and_the_text_names_them() -> None:
    one = module("one", 1, {f"/f{i:02}": "1" for i in range(30)}, protected=["/p"])
    other = module("other", 1, {**{f"/f{i:02}": "2" for i in range(30)}, "/p": "2"}, protected=["/p"])
    with pytest.raises(MergeConflictError) as caught:
        merge([one, other])
    error = caught.value
    assert len(error.conflicts) == 31
    assert error.conflicts[-1] == Conflict(path=b"/p", kind=ConflictKind.BOTH_PROTECT, modules=("one", "other"))
    assert "/f00 collides at equal effective priority in one and other (the same path)" in str(error)
    assert "and 11 more" in str(error)
    assert error.code == "merge.conflict"


def test_the_result_as_text_and_as_json() -> None:
    low, high = module("low", 1, {"/a": "low", "/b": "low"}), module("high", 2, {"/a": "high", "/b": WHITEOUT})
    result = merge([low, high])
    assert result.describe().splitlines() == [
        "2 paths from high, low (highest first); 2 lost",
        "/a of low: high is higher and has the path",
        "/b of low: high is higher and removes it",
    ]
    assert json.loads(json.dumps(result.as_dict())) == {
        "modules": ["high", "low"],
        "paths": 2,
        "lost": [
            {"path": "/a", "loser": "low", "winner": "high", "rule": "higher"},
            {"path": "/b", "loser": "low", "winner": "high", "rule": "whiteout"},
        ],
        "removed": {"/b": "high"},
    }


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("winner", ["w", None])
def test_every_rule_has_words(rule: Rule, winner: str | None) -> None:
    text = Loss(path=b"/p", loser="l", winner=winner, rule=rule).describe()
    assert text.startswith("/p of l: ")
    assert "{" not in text


def test_names_cannot_speak_to_the_terminal() -> None:
    loss = Loss(path=b"/a\x1b[2J\n\xff\xc2\x9b", loser="l", winner="w", rule=Rule.HIGHER)
    assert loss.describe().startswith(r"/a\x1b[2J\n\xff\x9b of l")
    assert str(loss.as_dict()["path"]).encode("utf-8", "surrogateescape") == loss.path


def test_explain_tells_the_giver_and_the_losers() -> None:
    high = module("high", 2, {"/a": "high", "/bin": Symlink(target=b"usr/bin")})
    result = merge([module("low", 1, {"/a": "low", "/ab": "low"}), high])
    told = explain(result, b"/a")
    assert (told.giver, [loss.loser for loss in told.lost]) == ("high", ["low"])
    assert told.describe() == "/a is given by high\n/a of low: high is higher and has the path"
    assert explain(result, b"/nope").describe() == "/nope is in no module"
    assert explain(result, b"/bin/sh").through == b"/bin"
    assert "/bin is a symbolic link" in explain(result, b"/bin/sh").describe()
    assert explain(result, b"/").giver == "high"
    assert json.loads(json.dumps(told.as_dict()))["giver"] == "high"


def test_explain_tells_of_one_path_only() -> None:
    low = module("low", 1, {"/d/x": "low", "/d.x": "low"})
    result = merge([low, module("high", 2, {"/d": "high", "/d.x": "high"})])
    assert [loss.path for loss in explain(result, b"/d").lost] == [b"/d"]


def test_explain_tells_of_a_whiteout_and_of_a_mask() -> None:
    low = module("low", 1, {"/a": "x", "/m": "x"}, mask=["/m"])
    result = merge([low, module("high", 2, {"/a": WHITEOUT})])
    assert explain(result, b"/a").describe().splitlines()[0] == "/a is not in the result: high removes it"
    assert explain(result, b"/m").describe() == "/m is not in the result\n/m of low: its own mask leaves it out"


def test_explain_works_on_modules_that_cannot_be_merged() -> None:
    modules = [module("one", 5, {"/d/a": "1", "/b": "1"}), module("other", 5, {"/d": "2"})]
    (conflict,) = explain(modules, b"/d/a").conflicts
    assert conflict.path == b"/d"
    assert conflict.describe() in explain(modules, b"/d").describe()
    assert not explain(modules, b"/b").conflicts


@pytest.mark.parametrize("path", [b"", b"a", b"/a/", b"/a//b", b"/a/../b", b"/./a"])
def test_explain_wants_a_plain_path(path: bytes) -> None:
    with pytest.raises(OperatorError) as caught:
        explain(merge([module("m", 1, {"/a": "x"})]), path)
    assert caught.value.code == "merge.path"
