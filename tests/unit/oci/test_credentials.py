# SPDX-License-Identifier: MIT
"""The login files of docker and podman."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from powernode.base.errors import OperatorError, PowernodeError
from powernode.oci.credentials import Credentials, from_config


def auth(text: str) -> dict[str, str]:
    return {"auth": b64encode(text.encode()).decode()}


def find(document: Any, registry: str = "registry.example", repository: str = "") -> Credentials | None:
    return from_config(json.dumps(document).encode(), registry, what="config.json", repository=repository)


def test_docker() -> None:
    document = {"auths": {"registry.example": auth("builder:a:b"), "other.example": auth("x:y")}, "credsStore": "x"}
    assert find(document) == Credentials(username="builder", password="a:b")
    assert find(document, "registry.example:5000") is None
    assert find(document, "example") is None
    assert find({}) is None
    assert find({"auths": {"registry.example": {}}, "credsStore": "x"}) is None


def test_podman_names_repositories() -> None:
    document = {"auths": {"registry.example/acme": auth("acme:x"), "registry.example": auth("all:x")}}
    found = {name: find(document, repository=name) for name in ("acme/redis", "acme", "acmes/redis", "")}
    assert {name: each.username for name, each in found.items() if each} == {
        "acme/redis": "acme",
        "acme": "acme",
        "acmes/redis": "all",
        "": "all",
    }


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"auths": {"registry.example": {"auth": "?"}}}, "oci.credentials.auth"),
        ({"auths": {"registry.example": auth("nobody")}}, "oci.credentials.auth"),
        ({"auths": {"registry.example": {"auth": "/w=="}}}, "oci.credentials.auth"),
        ({"auths": {"registry.example": {"identitytoken": "x"}}}, "oci.credentials.identity-token"),
        ({"credHelpers": {"registry.example": "desktop"}}, "oci.credentials.helper"),
        ({"auths": []}, "oci.credentials.type"),
        ([], "oci.credentials.type"),
    ],
)
def test_refused(document: Any, code: str) -> None:
    with pytest.raises(PowernodeError) as caught:
        find(document)
    assert caught.value.code == code


def test_the_reason_says_what_to_do() -> None:
    with pytest.raises(OperatorError) as caught:
        find({"credHelpers": {"registry.example": "desktop"}})
    assert caught.value.hint == "use --username and --password-stdin"
