# SPDX-License-Identifier: MIT
"""The bill of materials: valid by CycloneDX's own schema, complete, and the same bytes for the same module."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from packageurl import PackageURL

from powernode.base.errors import InternalError
from powernode.module.sbom import ShippedFile, cyclonedx
from powernode.module.subject import package_purl
from unit.module._described import FILES, REDIS, STDCXX, SUBJECT, TIME, UNUSED, shipped

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)
PACKAGES = (REDIS, STDCXX, UNUSED)


def document(files: tuple[ShippedFile, ...] = FILES) -> Any:
    data = cyclonedx(SUBJECT, PACKAGES, files, timestamp=TIME)
    assert VALIDATOR.validate_str(data.decode()) is None
    return json.loads(data)


def components(found: Any) -> dict[str, Any]:
    return {each["name"]: each for each in found["components"]}


def graph(found: Any) -> dict[str, list[str]]:
    return {each["ref"]: each["dependsOn"] for each in found["dependencies"]}


def properties(component: Any) -> dict[str, str]:
    return {each["name"].removeprefix("powernode:"): each["value"] for each in component["properties"]}


def test_the_module() -> None:
    metadata = document()["metadata"]
    assert metadata["timestamp"] == "2025-08-09T00:00:00Z"
    module = metadata["component"]
    assert module["purl"] == f"pkg:oci/my-redis@sha256:{bytes(range(32)).hex()}?arch=amd64&tag=v0.1.0_rc.1"
    assert module["licenses"] == [{"expression": "BSD-3-Clause", "acknowledgement": "declared"}]


def test_packages_that_ship_and_no_others() -> None:
    found = components(document())
    redis, stdcxx = found["redis-server"], found["libstdc++6"]
    assert "doc" not in found
    assert redis["purl"] == "pkg:deb/debian/redis-server@5:8.0.2-3%2Bb1?arch=amd64&distro=trixie"
    assert redis["licenses"][0]["expression"] == "BSD-3-Clause AND LicenseRef-Debian-public-domain"
    assert properties(redis) == {"deb:source": "redis", "deb:source-version": "5:8.0.2-3"}
    assert "licenses" not in stdcxx
    assert properties(stdcxx)["licence:unstated"] == "free-text"
    assert properties(stdcxx)["licence:mentions"] == "GPL-3 LGPL-3"


@pytest.mark.parametrize("package", [REDIS, STDCXX])
def test_names_are_as_the_purl_library_writes_them(package: Any) -> None:
    purl = package_purl(package, "trixie")
    parsed = PackageURL.from_string(purl)
    assert parsed.to_string() == purl
    assert (parsed.type, parsed.namespace, parsed.name, parsed.version) == (
        "deb",
        "debian",
        package.name,
        package.version,
    )
    assert PackageURL.from_string(SUBJECT.purl).to_string() == SUBJECT.purl


def test_files() -> None:
    found = components(document())
    server = found["/usr/bin/redis-server"]
    assert server["hashes"] == [{"alg": "SHA-256", "content": sha256(b"\x7fELF" * 100).hexdigest()}]
    assert properties(server) == {"fsverity-sha256": "aa" * 32, "size": "400"}
    assert properties(found["/usr/bin/redis-check"]) == {"link-target": "redis-server"}
    assert "hashes" not in found["/usr/bin/redis-check"]
    assert properties(found["/var/lib/redis/.gitkeep"]) == {"size": "0"}


def test_who_has_which_file() -> None:
    found = graph(document())
    redis, stdcxx = package_purl(REDIS, "trixie"), package_purl(STDCXX, "trixie")
    assert found[redis] == ["file:/usr/bin/redis-check", "file:/usr/bin/redis-server"]
    assert found[SUBJECT.purl] == ["file:/etc/redis/redis.conf", "file:/var/lib/redis/.gitkeep", stdcxx, redis]


def test_the_same_module_gives_the_same_bytes() -> None:
    first = cyclonedx(SUBJECT, PACKAGES, FILES, timestamp=TIME)
    assert cyclonedx(SUBJECT, PACKAGES[::-1], FILES[::-1], timestamp=TIME) == first
    number = json.loads(first)["serialNumber"]
    for other in (
        cyclonedx(SUBJECT, PACKAGES, FILES, timestamp=TIME + 1),
        cyclonedx(SUBJECT, PACKAGES, FILES[1:], timestamp=TIME),
        cyclonedx(replace(SUBJECT, version="2"), PACKAGES, FILES, timestamp=TIME),
    ):
        assert json.loads(other)["serialNumber"] != number


def test_an_independent_reader_takes_it() -> None:
    bom = Bom.from_json(document())  # type: ignore[attr-defined]
    assert bom.validate()
    assert len(bom.components) == 2 + len(FILES)


def test_a_module_of_its_own_files_only() -> None:
    found = document((shipped(b"/etc/motd"),))
    assert graph(found) == {SUBJECT.purl: ["file:/etc/motd"]}


def test_names_that_are_not_utf8() -> None:
    names = [b"/a\xff", b"/a\\xff", b"/\x1b[2J", "/é ü".encode(), b"/a%FF"]
    found = document(tuple(shipped(name) for name in names))
    assert [each["name"] for each in found["components"]] == ["/\x1b[2J", "/a%FF", "/a\\xff", "/a\\xff", "/é ü"]
    references = [each["bom-ref"].removeprefix("file:") for each in found["components"]]
    assert [unquote_to_bytes(reference) for reference in references] == sorted(names)


def test_a_file_twice_is_our_mistake() -> None:
    with pytest.raises(InternalError):
        cyclonedx(SUBJECT, (), (shipped(b"/x"), shipped(b"/x")), timestamp=TIME)


@settings(max_examples=15)
@given(st.sets(st.binary(min_size=1, max_size=12), max_size=6))
def test_any_names_make_a_valid_document(names: set[bytes]) -> None:
    document(tuple(shipped(b"/" + name) for name in names))
