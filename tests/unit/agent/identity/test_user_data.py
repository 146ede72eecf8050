# SPDX-License-Identifier: MIT
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.identity import user_data
from powernode.agent.identity.fields import AnchorError
from powernode.agent.identity.gather import Gathering
from powernode.base.errors import DataError
from unit.agent.identity.trees import UUID, values


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (
            json.dumps({"instance_uuid": UUID, "contract_version": 2, "other": {"a": [1]}}).encode(),
            "here instance_uuid",
        ),
        (f"# ours\ninstance_uuid={UUID}\ncontract_version=2\nother=1\n".encode(), "here line 2"),
    ],
)
def test_both_forms(data: bytes, place: str) -> None:
    said = Gathering()
    assert user_data.add(said, data, "here") is None
    found = said.material("")
    assert values(found) == {"instance_uuid": UUID, "contract_version": "2"}
    assert found.entries["instance_uuid"].place == place
    assert found.remark == "unknown keys ignored: other"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "here is empty"),
        (b" \n", "here is empty"),
        (b"#cloud-config\nusers: []\n", "here is cloud-init's"),
        (b"#!/bin/sh\ninstance_uuid=1\n", "here is a script"),
        (b"Content-Type: multipart/mixed\n", "here is a MIME message"),
        (b"\x1f\x8b\x08\x00", "here is compressed"),
        (b"<powershell>", "here is markup"),
        (b'{"ignition": {"version": "3.4.0"}}', "here has no key of ours"),
        (b"FOO=1\nFOO=2\n", "here has no key of ours"),
    ],
)
def test_what_is_for_somebody_else_is_no_error(data: bytes, why: str) -> None:
    said = Gathering()
    assert user_data.add(said, data, "here") == why
    assert values(said.material("")) == {}


BAD = {
    "json that is cut": (b'{"bootstrap_token": "s3cret"', "identity.user-data", False),
    "json that nests": (b'{"a":' * 10000, "identity.user-data", False),
    "json that is not utf-8": (b'{"a": "\xff"}', "identity.user-data", False),
    "json with nan": (b'{"a": NaN}', "identity.user-data", False),
    "object as a value": (b'{"instance_uuid": {}}', "identity.uuid", False),
    "null as a value": (b'{"bootstrap_token": null}', "identity.token", False),
    "truth as an anchor": (b'{"platform_url": true}', "identity.platform-url", True),
    "two platforms in json": (
        b'{"platform_url": "https://a.example", "platform_url": "https://b.example"}',
        "identity.conflict",
        True,
    ),
    "two platforms in lines": (
        b"platform_url=https://a.example\nplatform_url=https://b.example\n",
        "identity.conflict",
        True,
    ),
    "prose": (b"hello world\n", "identity.syntax", False),
}


@pytest.mark.parametrize("defect", BAD)
def test_bad_user_data(defect: str) -> None:
    data, code, ends = BAD[defect]
    with pytest.raises(DataError) as caught:
        user_data.add(Gathering(), data, "here")
    assert caught.value.code == code
    assert isinstance(caught.value, AnchorError) == ends
    assert "s3cret" not in str(caught.value)


def test_an_array_is_no_object() -> None:
    with pytest.raises(DataError) as caught:
        user_data.parse_json(b"[1]", "here")
    assert caught.value.message == "here is not a JSON object"


def test_a_number_of_any_length_stays_text() -> None:
    assert user_data.parse_json(b'{"a": 1' + b"0" * 50_000 + b"}", "here") == [("a", "1" + "0" * 50_000)]


@given(
    st.one_of(
        st.binary(),
        st.recursive(st.none() | st.text(), st.lists, max_leaves=5).map(
            lambda v: json.dumps({"instance_uuid": v}).encode()
        ),
    )
)
def test_any_bytes_are_material_or_a_refusal(data: bytes) -> None:
    said = Gathering()
    try:
        why = user_data.add(said, data, "here")
    except DataError:
        return
    assert (why is None) == bool(values(said.material("")))
