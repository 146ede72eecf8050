# SPDX-License-Identifier: MIT
"""The JSON Schema against the model: never stricter, and as strict wherever a schema can be."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from powernode.manifest.model import problems
from powernode.module.schema import encode_schema, fields_table, json_schema
from unit.manifest._documents import DOCUMENTS, EVERYTHING, JSON

VALIDATOR = Draft202012Validator(json_schema())
STRUCTURAL = {"manifest.type", "manifest.missing", "manifest.unknown-key"}
"""What a schema can say, too."""


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads(encode_schema()))


def test_everything_is_valid() -> None:
    assert list(VALIDATOR.iter_errors(EVERYTHING)) == []
    assert problems(EVERYTHING) == []


@given(DOCUMENTS)
def test_what_the_model_takes_the_schema_takes(document: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document)


@settings(max_examples=200)
@given(st.data())
def test_what_the_schema_refuses_the_model_refuses(data: st.DataObject) -> None:
    document = deepcopy(EVERYTHING)
    target: Any = document
    while True:
        key = data.draw(st.sampled_from(list(target) if isinstance(target, dict) else list(range(len(target)))))
        if isinstance(target[key], dict | list) and target[key] and data.draw(st.booleans()):
            target = target[key]
            continue
        if data.draw(st.booleans()) and isinstance(target, dict):
            del target[key]
        else:
            target[key] = data.draw(JSON)
        break
    codes = {problem.code for problem in problems(document)}
    if not VALIDATOR.is_valid(document):
        assert codes
    if codes & STRUCTURAL:
        assert not VALIDATOR.is_valid(document)


def test_every_field_is_in_the_table() -> None:
    keys = {line.split("`")[1] for line in fields_table().splitlines()[2:]}
    assert {"name", "init.start", "services[].dependencies[].kind", "build.options[].packages"} <= keys
    assert len(keys) == len(fields_table().splitlines()) - 2
