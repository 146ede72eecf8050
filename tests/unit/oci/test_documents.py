# SPDX-License-Identifier: MIT
"""Manifests and indexes: what is read, what is refused, and one spelling."""

from __future__ import annotations

import json
from typing import Any

import pytest

from powernode.base.errors import DataError
from powernode.oci.documents import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY,
    EMPTY_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    MAX_DOCUMENT_BYTES,
    Descriptor,
    Index,
    Manifest,
    Platform,
    describe,
    parse_document,
)

CONFIG = describe(EMPTY, EMPTY_CONFIG)
LAYER = describe(b"layer", "application/x", annotations={"a": "ä"})
MANIFEST = Manifest(
    config=CONFIG,
    layers=(LAYER,),
    artifact_type="application/vnd.example",
    subject=describe(b"subject", IMAGE_MANIFEST),
    annotations={"b": "1"},
)
INDEX = Index(
    manifests=(
        describe(b"x", IMAGE_MANIFEST, platform=Platform(architecture="arm64", variant="v8"), artifact_type="a/b"),
    )
)


def document(value: Manifest | Index = MANIFEST) -> dict[str, Any]:
    found = json.loads(value.encode())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("value", [MANIFEST, INDEX])
def test_round_trip(value: Manifest | Index) -> None:
    data = value.encode()
    assert parse_document(data) == value
    assert parse_document(data).encode() == data


def test_the_empty_configuration_is_the_one_of_the_specification() -> None:
    assert CONFIG.digest == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert CONFIG.size == 2


def test_what_is_not_known_is_overlooked() -> None:
    value = document()
    value["config"]["urls"] = ["https://x"]
    value["config"]["data"] = "e30="
    value["new"] = {"b": [1]}
    assert Manifest.parse(json.dumps(value).encode()) == MANIFEST


def test_the_kind_is_what_referrers_are_listed_by() -> None:
    assert MANIFEST.kind == "application/vnd.example"
    assert Manifest(config=CONFIG, layers=()).kind == EMPTY_CONFIG


@pytest.mark.parametrize(
    ("value", "stated", "kind"),
    [(MANIFEST, DOCKER_MANIFEST, Manifest), (INDEX, DOCKER_LIST, Index)],
)
def test_docker_types(value: Manifest | Index, stated: str, kind: type) -> None:
    found = parse_document(json.dumps(document(value) | {"mediaType": stated}).encode(), media_type=stated)
    assert isinstance(found, kind)
    assert found.media_type == stated


def test_a_media_type_that_is_only_said_outside() -> None:
    value = document()
    del value["mediaType"]
    assert parse_document(json.dumps(value).encode(), media_type=DOCKER_MANIFEST).media_type == DOCKER_MANIFEST
    assert parse_document(json.dumps(value).encode()).media_type == IMAGE_MANIFEST


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "schema 1": ({"schemaVersion": 1}, "oci.document.schema"),
    "no schema": ({"schemaVersion": None}, "oci.document.type"),
    "both kinds": ({"manifests": []}, "oci.document.kind"),
    "an index by name": ({"mediaType": IMAGE_INDEX}, "oci.document.media-type"),
    "no type at all": ({"mediaType": "manifest"}, "oci.document.media-type"),
    "layers no list": ({"layers": {}}, "oci.document.type"),
    "too many layers": ({"layers": [LAYER.to_json()] * 4097}, "oci.document.value"),
    "a layer that is none": ({"layers": [7]}, "oci.document.type"),
    "no digest": ({"config": {"mediaType": "a/b", "size": 1}}, "oci.document.missing"),
    "digest of another algorithm": ({"config": CONFIG.to_json() | {"digest": "md5:00"}}, "oci.document.digest"),
    "digest with a path": ({"config": CONFIG.to_json() | {"digest": "sha256:../../x"}}, "oci.document.digest"),
    "upper-case digest": ({"config": CONFIG.to_json() | {"digest": "sha256:" + "AB" * 32}}, "oci.document.digest"),
    "negative size": ({"config": CONFIG.to_json() | {"size": -1}}, "oci.document.value"),
    "size as text": ({"config": CONFIG.to_json() | {"size": "1"}}, "oci.document.type"),
    "type with a line": ({"config": CONFIG.to_json() | {"mediaType": "a/b\r\nc"}}, "oci.document.media-type"),
    "annotation no string": ({"annotations": {"a": 1}}, "oci.document.type"),
    "annotations no object": ({"annotations": ["a"]}, "oci.document.type"),
    "annotation bomb": ({"annotations": {str(n): "" for n in range(1025)}}, "oci.document.value"),
    "subject no descriptor": ({"subject": "x"}, "oci.document.type"),
    "a float": ({"x": 1.5}, "json.float"),
}


@pytest.mark.parametrize("defect", BAD)
def test_refused(defect: str) -> None:
    change, code = BAD[defect]
    with pytest.raises(DataError) as caught:
        parse_document(json.dumps(document() | change).encode())
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "code"),
    {
        b"": "json.syntax",
        b"[]": "oci.document.type",
        b'{"schemaVersion":2,"schemaVersion":2}': "json.duplicate-key",
        b'{"schemaVersion":2}': "oci.document.kind",
        b"[" * 100_000: "json.depth",
        b" " * (MAX_DOCUMENT_BYTES + 1): "json.size",
        b'{"schemaVersion":2,"layers":[]}': "oci.document.type",
        b"[" + b"{}," * 200_000 + b"0]": "json.values",
    }.items(),
    ids=["empty", "a list", "a key twice", "nothing in it", "a nest", "too long", "no configuration", "a bomb"],
)
def test_refused_bytes(data: bytes, code: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_document(data)
    assert caught.value.code == code


def test_another_type_than_was_said() -> None:
    with pytest.raises(DataError) as caught:
        parse_document(MANIFEST.encode(), media_type=DOCKER_MANIFEST)
    assert caught.value.code == "oci.document.media-type"


def test_a_manifest_is_no_index() -> None:
    for parse, value in ((Manifest.parse, INDEX), (Index.parse, MANIFEST)):
        with pytest.raises(DataError) as caught:
            parse(value.encode())
        assert caught.value.code == "oci.document.kind"


def test_descriptors_are_values() -> None:
    again = describe(b"layer", "application/x", annotations={"a": "ä"})
    assert (again, hash(again)) == (LAYER, hash(LAYER))
    assert LAYER.with_annotations({}) != LAYER
    assert Descriptor.parse(json.dumps(LAYER.to_json()).encode()) == LAYER
    assert isinstance(hash(MANIFEST), int)
    assert isinstance(hash(INDEX), int)
    assert Descriptor(media_type="a/b", digest=LAYER.digest, size=1).to_json() == {
        "mediaType": "a/b",
        "digest": LAYER.digest,
        "size": 1,
    }
