# SPDX-License-Identifier: MIT
"""Plans: complete, comparable, and the same from anywhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from powernode.base.canonical import encode
from powernode.image.plan import Plan, Workspace, changed, digest_of_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    text: str
    files: dict[str, str] = field(default_factory=dict)
    where: Path = Path("/a")
    data: object = field(default=b"", metadata={"local": True})

    def describe(self) -> str:
        return f"say {self.text}"

    def run(self, workspace: Workspace) -> None:
        raise AssertionError("a plan runs nothing")


PLAN = Plan(variant="small", arch="amd64", board="qemu", packages=("a 1 all 00",), steps=(Say(text="x"),))


def test_the_digest_is_that_of_the_description() -> None:
    assert PLAN.digest == hashlib.sha256(encode(PLAN.as_dict())).hexdigest()
    assert json.loads(encode(PLAN.as_dict()))["steps"] == [{"step": "Say", "text": "x", "files": {}}]


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, variant="large"),
        replace(PLAN, arch="arm64"),
        replace(PLAN, board="rpi4"),
        replace(PLAN, packages=("a 2 all 00",)),
        replace(PLAN, steps=(Say(text="y"),)),
        replace(PLAN, steps=(Say(text="x", files={"a": "b"}),)),
        replace(PLAN, steps=(Say(text="x"), Say(text="x"))),
    ],
)
def test_whatever_changes_the_result_changes_the_digest(other: Plan) -> None:
    assert other.digest != PLAN.digest


def test_places_and_contents_do_not(tmp_path: Path) -> None:
    """The contents are there as digests of their own."""
    assert replace(PLAN, steps=(Say(text="x", where=tmp_path, data=b"y"),)).digest == PLAN.digest


def test_the_description_says_everything() -> None:
    text = PLAN.describe()
    assert text.splitlines()[0] == f"small for amd64, board qemu, plan {PLAN.digest}"
    assert "  a 1 all 00" in text
    assert "  1. say x" in text


def test_a_field_that_is_no_plain_data_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="bytes"):
        _ = replace(PLAN, steps=(Say(text="x", files={"a": b"b"}),)).digest  # type: ignore[dict-item]


def test_files_are_their_names_and_contents(tmp_path: Path) -> None:
    def digest(files: dict[str, bytes], top: str) -> str:
        for name, data in files.items():
            (tmp_path / top / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / top / name).write_bytes(data)
        return digest_of_files(tmp_path / top, [tmp_path / top / name for name in files])

    first = digest({"a": b"1", "b/c": b"2"}, "one")
    (tmp_path / "one/a").chmod(0o755)
    assert digest({"b/c": b"2", "a": b"1"}, "two") == first
    assert digest({"a": b"1"}, "three") != first
    assert digest({"a": b"1", "b/d": b"2"}, "four") != first
    assert digest({"a": b"1b2"}, "five") != digest({"a": b"1", "b": b"2"}, "six")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "more": 2}, {"a": 1}, []),
        ({}, {"a": {"b": 1}}, ["a"]),
        ({"a": {"b": 2, "c": 1}}, {"a": {"b": 1, "c": 1}}, ["a.b"]),
        ({"a": [1, {"b": 2}]}, {"a": [0, {"b": 3}]}, ["a[0]", "a[1].b"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": "1"}, {"a": 1}, ["a"]),
    ],
)
def test_what_differs_is_named(old: object, new: object, where: list[str]) -> None:
    assert list(changed(old, new)) == where  # type: ignore[arg-type]
