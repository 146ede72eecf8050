# SPDX-License-Identifier: MIT
"""Several unpacked packages as one root."""

from __future__ import annotations

from pathlib import Path

import pytest

from powernode.base.errors import DataError
from powernode.image.trees import Trees


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    for package, files in {"one": {"a/x": b"1x", "a/y": b"1y"}, "two": {"a/y": b"2y", "a/z": b"2z"}}.items():
        for name, data in files.items():
            path = tmp_path / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (tmp_path / "secret").write_bytes(b"of the build machine")
    (tmp_path / "one/absolute").symlink_to("/a/x")
    (tmp_path / "one/circle").symlink_to("circle")
    (tmp_path / "one/outside").symlink_to("../secret")
    return Trees([tmp_path / "one", tmp_path / "two"])


def test_the_first_package_that_has_a_file_gives_it(trees: Trees) -> None:
    assert [trees.read(f"a/{name}") for name in "xyz"] == [b"1x", b"1y", b"2z"]
    assert trees.names("a") == ["x", "y", "z"]
    assert trees.names("nowhere") == []


def test_absolute_links_lead_into_the_package(trees: Trees) -> None:
    assert trees.read("absolute") == b"1x"


def test_no_link_leads_out(trees: Trees) -> None:
    assert trees.find("outside") is None


@pytest.mark.parametrize("path", ["a/nothing", "a/x/below-a-file", "circle", "a"])
def test_what_no_package_has_is_refused(trees: Trees, path: str) -> None:
    with pytest.raises(DataError) as refusal:
        trees.read(path)
    assert refusal.value.code == "image.tree.missing"
    assert path in refusal.value.message
