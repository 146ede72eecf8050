# SPDX-License-Identifier: MIT
"""Members are read by name and type; nothing is overlooked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from powernode.base.errors import DataError
from powernode.base.fields import Fields

DOCUMENT: dict[str, Any] = {
    "text": "abc",
    "number": 7,
    "flag": True,
    "nothing": None,
    "inner": {"text": "x"},
    "list": [{"text": "a"}, {"text": "b"}],
    "words": ["a", "b"],
}


def fields(**members: Any) -> Fields:
    return Fields({**members}, code="test", what="the document")


def test_every_kind() -> None:
    with Fields(DOCUMENT, code="test", what="the document") as document:
        assert document.text("text") == "abc"
        assert document.integer("number", least=7, most=7) == 7
        assert document.flag("flag") is True
        assert document.has("nothing")
        assert document.null("nothing")
        assert not document.null("inner")
        with document.fields("inner") as inner:
            assert inner.text("text") == "x"
        assert [item.text("text") for item in document.each("list", most=2)] == ["a", "b"]
        assert document.texts("words", most=2) == ["a", "b"]
        assert document.text("absent", "default") == "default"
        assert document.integer("absent", 3, least=0) == 3
        assert document.flag("absent", False) is False
        assert document.texts("absent", [], most=1) == []


@pytest.mark.parametrize(
    ("code", "read", "says"),
    [
        ("test.missing", lambda: fields().text("name"), "name of the document is missing"),
        ("test.type", lambda: fields(name=1).text("name"), "an integer"),
        ("test.type", lambda: fields(name=None).text("name", "default"), "null"),
        ("test.type", lambda: fields(name=True).integer("name", least=0), "true or false"),
        ("test.type", lambda: fields(name=0).flag("name"), "an integer"),
        ("test.type", lambda: fields(name=[]).fields("name"), "a list"),
        ("test.type", lambda: Fields([], code="test", what="the document"), "a list"),
        ("test.type", lambda: list(fields(name=[1]).each("name", most=1)), "name of the document[0]"),
        ("test.type", lambda: fields(name=["a", 1]).texts("name", most=2), "name of the document[1]"),
        ("test.value", lambda: fields(name="abcd").text("name", longest=3), "at most 3 characters"),
        ("test.value", lambda: fields(name=-1).integer("name", least=0), "found -1"),
        ("test.value", lambda: fields(name=9).integer("name", least=0, most=8), "0 to 8"),
        ("test.value", lambda: fields(name=[1, 2]).items("name", most=1), "at most 1 entries"),
        ("test.unknown-key", lambda: fields(extra=1).done(), "'extra'"),
        ("test.unknown-key", lambda: list(fields(name=[{"extra": 1}]).each("name", most=1)), "[0] has a member"),
    ],
)
def test_refused(code: str, read: Callable[[], object], says: str) -> None:
    with pytest.raises(DataError) as refusal:
        read()
    assert refusal.value.code == code
    assert says in str(refusal.value)


def test_an_error_inside_is_not_hidden_by_what_was_not_read_yet() -> None:
    with pytest.raises(DataError) as refusal, fields(number="x", other=1) as document:
        document.integer("number", least=0)
    assert refusal.value.code == "test.type"


def test_others_can_be_ignored() -> None:
    with fields(extra=1) as document:
        document.ignore_others()
