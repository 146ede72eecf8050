# SPDX-License-Identifier: MIT
"""What a reference promises of a module, and what it does not."""

from __future__ import annotations

import pytest

from powernode.base.errors import DataError
from powernode.module.artifact import ARTIFACT_TYPE, TITLE, VERSION
from powernode.module.expected import Expected
from powernode.oci.documents import Index
from powernode.oci.reference import Reference

DIGEST = f"sha256:{'0' * 64}"


def cause(expected: Expected, name: str = "redis", version: str = "1.2.3") -> str | None:
    try:
        expected.check(name, version, code="x")
    except DataError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("reference", "name", "code"),
    [
        ("example.com/acme/redis:v1.2.3", None, None),
        ("example.com/redis:v1.2.3", None, None),
        ("example.com/acme/redis:stable", None, None),
        ("example.com/acme/nginx:v1.2.3", None, "x.other-module"),
        ("example.com/redis/copy:v1.2.3", None, "x.other-module"),
        ("example.com/redis/copy:v1.2.3", "redis", None),
        ("example.com/redis/copy:v1.2.4", "redis", "x.other-version"),
        ("example.com/acme/redis:v1.2.3", "nginx", "x.other-module"),
        ("example.com/acme/redis:v1.2.4", None, "x.other-version"),
        (f"example.com/acme/nginx:v1.2.4@{DIGEST}", None, None),
        (f"example.com/acme/nginx@{DIGEST}", None, None),
        (f"example.com/acme/nginx@{DIGEST}", "nginx", "x.other-module"),
    ],
)
def test_references(reference: str, name: str | None, code: str | None) -> None:
    assert cause(Expected.by(Reference.parse(reference), name=name)) == code


@pytest.mark.parametrize(
    ("tag", "version", "code"),
    [
        ("v1.2.3_deb.12", "1.2.3+deb.12", None),
        ("v1.2.3", "1.2.3+deb.12", None),
        ("v1.2.3_deb.12-amd64", "1.2.3+deb.12", None),
        ("v1.2.3_deb.11", "1.2.3+deb.12", "x.other-version"),
        ("v1.2.3-rc.1", "1.2.3-rc.1", None),
        ("v1.2.3", "1.2.3-rc.1", "x.other-version"),
        ("v1.2.3-amd64", "1.2.3", None),
        ("v1.2.3-riscv64", "1.2.3", "x.other-version"),
        ("v01.2.3", "1.2.3", None),  # is no version
    ],
)
def test_tags(tag: str, version: str, code: str | None) -> None:
    assert cause(Expected.of(tag), version=version) == code


def test_nobody_is_accused() -> None:
    """It may as well have been a slip at the push."""
    with pytest.raises(DataError) as caught:
        Expected.of("v1.2.4").check("redis", "1.2.3", code="x")
    assert caught.value.hint is not None
    assert "mistyped" in caught.value.hint


def test_documents() -> None:
    expected = Expected(name="redis", tag="v1.2.3")
    said = {TITLE: "redis", VERSION: "1.2.3"}
    expected.check_document(Index(manifests=(), artifact_type=ARTIFACT_TYPE, annotations=said), code="x")
    with pytest.raises(DataError) as caught:
        expected.check_document(Index(manifests=(), artifact_type=ARTIFACT_TYPE), code="x")
    assert (caught.value.code, caught.value.found) == ("x.other-module", "none")


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        (Expected(name="redis", tag="v1.2.3"), "x.no-module"),
        (Expected(tag="v1.2.3"), "x.no-module"),
        (Expected(name="redis"), "x.no-module"),
        (Expected(tag="latest"), None),
        (Expected.of(DIGEST), None),
        (Expected(), None),
    ],
    ids=str,
)
def test_what_is_no_module(expected: Expected, code: str | None) -> None:
    """The publisher's SBOMs and images are signed as well."""
    found = None
    try:
        expected.check_document(Index(manifests=(), annotations={TITLE: "redis", VERSION: "1.2.3"}), code="x")
    except DataError as error:
        found = error.code
    assert found == code
