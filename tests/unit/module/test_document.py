# SPDX-License-Identifier: MIT
"""The YAML reader: what it takes, where things are, and every trap with its code and place."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.manifest.model import from_document, to_document
from powernode.module import document
from powernode.module.document import examine, read
from unit.manifest._documents import DOCUMENTS, EVERYTHING, JSON


def traps(text: str | bytes) -> list[tuple[str, int, int]]:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return [(trap.problem.code.removeprefix("yaml."), trap.line, trap.column) for trap in examine(data).traps]


def value(text: str) -> Any:
    return read(text.encode(), "it").value


def test_values() -> None:
    text = """\
# a comment
text: word
quoted: "yes"
single: '017'
number: 42
negative: -7
zero: 0
true: true
"false": false
nothing: null
empty:
tilde: ~
list: [a, 1, "2", null]
block:
  - one
  - two: 3
folded: >-
  several
  lines
literal: |
  as
  they are
{flow: map}: no
"""
    text = text.replace("{flow: map}: no\n", "flow: {a: b}\n").replace("true: true", '"true": true')
    assert value(text) == {
        "text": "word",
        "quoted": "yes",
        "single": "017",
        "number": 42,
        "negative": -7,
        "zero": 0,
        "true": True,
        "false": False,
        "nothing": None,
        "empty": None,
        "tilde": None,
        "list": ["a", 1, "2", None],
        "block": ["one", {"two": 3}],
        "folded": "several lines",
        "literal": "as\nthey are\n",
        "flow": {"a": "b"},
    }


def test_positions() -> None:
    found = read(b"name: nginx\nmask:\n  - /a\n  - {x: /b,\n     z: [1, 2]}\nend: |\n  text\n", "it")
    assert found.position(()) == (1, 1)
    assert found.position(("name",)) == (1, 7)
    assert found.position(("name",), at_key=True) == (1, 1)
    assert found.position(("mask",)) == (3, 3)
    assert found.position(("mask",), at_key=True) == (2, 1)
    assert found.position(("mask", 0)) == (3, 5)
    assert found.position(("mask", 1, "x")) == (4, 9)
    assert found.position(("mask", 1, "z")) == (5, 9)
    assert found.position(("mask", 1, "z"), at_key=True) == (5, 6)
    assert found.position(("mask", 1, "z", 1)) == (5, 13)
    assert found.position(("end",)) == (6, 6)


def test_what_is_not_there_is_where_it_would_be() -> None:
    found = read(b"a: 1\nb:\n  c: [d]\n", "it")
    assert found.position(("b", "c", 7, "x")) == found.position(("b", "c"))
    assert found.position(("nothing",)) == (1, 1)


def test_columns_count_characters() -> None:
    assert traps("é: [ü, yes]") == [("boolean", 1, 8)]


def test_windows_lines() -> None:
    assert value("a: 1\r\nb: |\r\n  x\r\n  y\r\n") == {"a": 1, "b": "x\ny\n"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1\nb: 2\n", [("anchor", 1, 4)]),
        ("a: &x [1]\nb: *x\n", [("anchor", 1, 4), ("alias", 2, 4)]),
        ("a: *x\n", [("alias", 1, 4)]),
        ("*x : 1\n", [("key", 1, 1)]),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", [("anchor", 1, 4), ("merge", 3, 3), ("alias", 3, 7)]),
        ("a: =\n", [("merge", 1, 4)]),
        ("a: !!str 1\n", [("tag", 1, 4)]),
        ("a: !!python/object/apply:os.system [id]\n", [("tag", 1, 4)]),
        ("a: !custom x\n", [("tag", 1, 4)]),
        ("!!map {a: 1}\n", [("tag", 1, 1)]),
        ("%YAML 1.1\n---\na: 1\n", [("directive", 1, 1)]),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", [("directive", 1, 1)]),
        ("a: 1\na: 2\n", [("duplicate-key", 2, 1)]),
        ("a:\n  b: 1\n  c: 2\n  b: {d: 1}\n", [("duplicate-key", 4, 3)]),
        ('a: 1\n"a": 2\n', [("duplicate-key", 2, 1)]),
        ("a: {b: 1, b: 2}\n", [("duplicate-key", 1, 11)]),
        ("---\na: 1\n---\nb: 2\n", [("documents", 3, 1)]),
        ("? [a]\n: b\n", [("key", 1, 3)]),
        ("? {a: b}\n: c\n", [("key", 1, 3)]),
        ("1: a\n", [("key", 1, 1)]),
        ("null: a\n", [("key", 1, 1)]),
        ("?\n: a\n", [("key", 1, 2)]),
        ("true: a\n", [("key", 1, 1)]),
        ("on: push\n", [("boolean", 1, 1)]),
        ("a: yes\n", [("boolean", 1, 4)]),
        ("a: [No, OFF, y, True, FALSE]\n", [("boolean", 1, c) for c in (5, 9, 14, 17, 23)]),
        ("a: NULL\nb: Null\n", [("null", 1, 4), ("null", 2, 4)]),
        ("a: 017\n", [("number", 1, 4)]),
        ("a: 0o17\n", [("number", 1, 4)]),
        ("a: 0x1F\n", [("number", 1, 4)]),
        ("a: 0b11\n", [("number", 1, 4)]),
        ("a: 1_000\n", [("number", 1, 4)]),
        ("a: +1\n", [("number", 1, 4)]),
        ("a: -0\n", [("number", 1, 4)]),
        ("a: 00\n", [("number", 1, 4)]),
        ("a: 99999999999999999999\n", [("number", 1, 4)]),
        ("a: 9223372036854775808\n", [("number", 1, 4)]),
        ("a: 190:20:30\n", [("sexagesimal", 1, 4)]),
        ("a: 80:43\n", [("sexagesimal", 1, 4)]),
        ("a: 7.4\n", [("float", 1, 4)]),
        ("a: 1e3\n", [("float", 1, 4)]),
        ("a: [.5, 1., -.inf, .NaN]\n", [("float", 1, c) for c in (5, 9, 13, 20)]),
        ("a: 2026-04-15\n", [("date", 1, 4)]),
        ("a: 2026-04-15T00:00:00Z\n", [("date", 1, 4)]),
        ("a: \x00\n", [("character", 1, 4)]),
        ("a: \x1b[31m\n", [("character", 1, 4)]),
        ("a: x\u202ey\n", [("character", 1, 5)]),
        ("a: x\u2028y\n", [("character", 1, 5)]),
        ("a: \x85b\n", [("character", 1, 4)]),
        ("\ufeffa: 1\n", [("character", 1, 1)]),
        ("a: 1\rb: 2\n", [("character", 1, 5)]),
        ('a: "x\\0y"\n', [("character", 1, 4)]),
        ('a: "\\u202E"\n', [("character", 1, 4)]),
        ('a: "\\uD800"\n', [("character", 1, 4)]),
        ('"a\\0": 1\n', [("character", 1, 1)]),
        ('a: "\\UFFFFFFFF"\n', [("syntax", 1, 1)]),
        ("a: [1\nb: 2\n", [("syntax", 2, 2)]),
        ("a: b: c\n", [("syntax", 1, 5)]),
        ("a:\n\t- b\n", [("syntax", 2, 1)]),
        ("a: 'x\n", [("syntax", 2, 1)]),
        ("@a\n", [("syntax", 1, 1)]),
        ("[" * 17 + "]" * 17, [("depth", 1, 17)]),
        ("a: " + "{b: " * 16 + "1" + "}" * 16, [("depth", 1, 64)]),
    ],
)
def test_traps(text: str, expected: list[tuple[str, int, int]]) -> None:
    assert traps(text) == expected
    with pytest.raises(DataError) as caught:
        read(text.encode("utf-8", "surrogatepass"), "manifest.yaml")
    assert caught.value.code == f"yaml.{expected[0][0]}"
    assert caught.value.message.startswith(f"manifest.yaml:{expected[0][1]}:{expected[0][2]}: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("description: Redis: the server", "needs quotes"),
        ("a:\n\t- b\n", "indent with spaces"),
        ("a: @b", "needs quotes"),
        ("a: [1\nb: 2\n", None),
    ],
)
def test_what_to_do_about_syntax(text: str, hint: str | None) -> None:
    (trap,) = examine(text.encode()).traps
    assert trap.problem.code == "yaml.syntax"
    assert (hint or "") in (trap.problem.hint or "")
    assert (trap.problem.hint is None) == (hint is None)


def test_bytes_that_are_no_text() -> None:
    assert traps(b"a: 1\nb: \xff\n") == [("utf8", 2, 4)]
    assert traps("a: \ud800") == [("utf8", 1, 4)]
    assert traps(b"a" * (document.MAX_BYTES + 1)) == [("size", 1, 1)]
    assert traps("a: 1".encode("utf-16")) == [("utf8", 1, 1)]


def test_all_traps_are_told_and_the_rest_is_read() -> None:
    reading = examine(b"a: yes\nb: &x 7\nc: 1\nc: {d: off}\ne: [1, *x]\n")
    codes = ["boolean", "anchor", "duplicate-key", "boolean", "alias"]
    assert [trap.problem.code for trap in reading.traps] == [f"yaml.{code}" for code in codes]
    assert reading.document is not None
    assert reading.document.value == {"a": "yes", "b": 7, "c": 1, "e": [1, None]}
    assert reading.traps[4].problem.path == ("e", 1)


def test_a_bomb_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert {code for code, *_ in traps("\n".join(lines))} == {"anchor", "alias"}


@pytest.mark.parametrize(
    "text",
    ["1.2.3", "v1", "10.0.0.1", "a:b", "12:99", "::1", "1.0-2", "0x", "0xg", "1e", "redis-7.4", "yesno", "nullable",
     "2026-04", "x&y", "x*y", "x!y", "/etc/**", "sha256:ab", "20260415T000000Z", "BSD-3-Clause", "1,5", "--"],
)  # fmt: skip
def test_plain_words_that_are_text_to_everybody(text: str) -> None:
    assert value(f"a: {text}\n") == {"a": text} == yaml.safe_load(f"a: {text}\n")


@settings(max_examples=300)
@given(st.text(alphabet="0123456789abefxon_+-.:~TZyesYnNulLtrINFA=<", min_size=1, max_size=8))
@example("1__0:1")
@example("0_")
@example("-.5e+3")
@example("-9223372036854775808")
@example("-9223372036854775809")
def test_plain_words_mean_what_pyyaml_says_or_are_refused(text: str) -> None:
    """Nothing that another reader turns into a number, a date or a truth value comes out as something else."""
    reading = examine(f"a: {text}\n".encode())
    if reading.document is None or reading.traps:
        return
    try:
        expected = yaml.safe_load(f"a: {text}\n")
    except (ValueError, yaml.YAMLError):
        pytest.fail(f"PyYAML does not take {text!r}")
    assert reading.document.value == expected
    assert type(reading.document.value) is type(expected)


@given(DOCUMENTS)
def test_ours_survive_any_writer(mapping: dict[str, Any]) -> None:
    manifest = from_document(mapping)
    for flow in (True, False, None):
        text = yaml.dump(to_document(manifest), default_flow_style=flow, allow_unicode=False, Dumper=yaml.SafeDumper)
        reading = examine(text.encode())
        if any(trap.problem.code == "yaml.character" for trap in reading.traps):
            continue  # the words at random had a mark that turns the reading direction
        assert reading.document is not None
        wanted = [
            trap for trap in reading.traps if trap.problem.code not in ("yaml.boolean", "yaml.anchor", "yaml.alias")
        ]
        assert wanted == []
        if not reading.traps:
            assert from_document(reading.document.value) == manifest


@given(DOCUMENTS)
def test_json_is_yaml(mapping: dict[str, Any]) -> None:
    data = canonical.encode(to_document(from_document(mapping)))
    reading = examine(data)
    if not any(trap.problem.code == "yaml.character" for trap in reading.traps):
        assert reading.traps == ()
        assert reading.document is not None
        assert from_document(reading.document.value) == from_document(mapping)


def test_everything_as_yaml() -> None:
    assert value(yaml.safe_dump(EVERYTHING)) == EVERYTHING


@given(JSON)
def test_every_value_has_a_place(tree: Any) -> None:
    reading = examine(canonical.encode({"top": tree}))
    if reading.document is None or reading.traps:
        return
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), reading.document.value)]
    while pending:
        path, here = pending.pop()
        assert path in reading.document.values
        if isinstance(here, dict):
            assert all((*path, name) in reading.document.keys for name in here)
            pending += [((*path, name), entry) for name, entry in here.items()]
        elif isinstance(here, list):
            pending += [((*path, number), entry) for number, entry in enumerate(here)]


@settings(max_examples=300)
@given(
    st.one_of(st.binary(max_size=60), st.text(alphabet="ab:-[]{},&*!|>'\"%@#? \n\t\\u0x~", max_size=40).map(str.encode))
)
def test_any_bytes_give_a_document_or_a_trap(data: bytes) -> None:
    reading = examine(data)
    assert reading.document is not None or reading.traps
    if not reading.traps:
        assert reading.document is not None
        canonical.encode(reading.document.value, max_depth=20)


def test_a_place_is_in_the_document() -> None:
    for text in ("a: [", "a: 'x", "- - - [", "a: {b", "\n\n\n: ["):
        lines = text.split("\n")
        for _, line, column in traps(text):
            assert 1 <= line <= len(lines) + 1
            assert column >= 1
