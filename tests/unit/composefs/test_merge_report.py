# SPDX-License-Identifier: MIT
"""The merge: hard links, the order of the result, the report, and `explain`."""

from __future__ import annotations

import json

import pytest

from powernode.base.errors import OperatorError
from powernode.composefs.merge import explain, merge
from powernode.composefs.report import Conflict, ConflictKind, Loss, MergeConflictError, Rule
from powernode.composefs.tree import RegularFile, Symlink
from unit.composefs._stacks import WHITEOUT, module, node_at

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
