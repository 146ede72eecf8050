# SPDX-License-Identifier: MIT
"""The merge by example: one test for each rule of ownership."""

from __future__ import annotations

from dataclasses import replace

import pytest

from powernode.composefs.merge import MergeInput, MergeResult, merge
from powernode.composefs.report import ConflictKind, Rule
from powernode.composefs.tree import CharacterDevice, Directory, Node, walk
from unit.composefs._stacks import WHITEOUT, conflicts, content, losses, module, node_at, opaque, tree

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
