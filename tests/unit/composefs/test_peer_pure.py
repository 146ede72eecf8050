# SPDX-License-Identifier: MIT
"""The pure code against the C composefs tools: same bytes, same text.

Needs mkcomposefs, composefs-info and fsck.erofs (POWERNODE_MKCOMPOSEFS, … or PATH). POWERNODE_COMPOSEFS_ASSETS may name
the `tests/assets` folder of C composefs.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.composefs._dump_parse import parse_dump
from powernode.composefs._dump_print import print_dump
from powernode.composefs._image_pure import read_image, write_image
from powernode.composefs._view_pure import text
from powernode.composefs.tree import Directory
from support.assets import IMAGES, LENIENT, REFUSALS, recorded_sha256, text_of, versions_of
from unit.composefs._pure_trees import fsck, info_dump, mkcomposefs, random_tree, tool

VERSIONS = ((0, 0), (0, 1), (1, 1))


def _options(versions: tuple[int, int]) -> tuple[str, str]:
    return f"--min-version={versions[0]}", f"--max-version={versions[1]}"


def _compare(tree: Directory, versions: tuple[int, int], work: Path) -> bytes:
    dump = print_dump(tree)
    image = write_image(tree, min_version=versions[0], max_version=versions[1])
    assert image == mkcomposefs(dump, work, *_options(versions))
    assert image == write_image(parse_dump(dump), min_version=versions[0], max_version=versions[1])
    dumped = info_dump(image, work)
    back = read_image(image)
    assert print_dump(back) == dumped
    # Written again from the dump the C tool prints, as the C tool would: hard links now live at their first name.
    again = write_image(back, min_version=versions[0], max_version=versions[1])
    assert again == mkcomposefs(dumped, work, *_options(versions))
    return image


@given(seed=st.integers(0, 1 << 32), leaves=st.integers(0, 60), versions=st.sampled_from(VERSIONS))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_generated_trees(tmp_path: Path, seed: int, leaves: int, versions: tuple[int, int]) -> None:
    _compare(random_tree(seed, leaves=leaves), versions, tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_larger_trees(seed: int, tmp_path: Path) -> None:
    image = _compare(random_tree(seed, leaves=700), VERSIONS[seed % 3], tmp_path)
    objects = text(image, "objects", ()).splitlines()
    assert objects == sorted(set(objects))


@pytest.mark.parametrize("seed", range(6))
def test_fsck_finds_nothing(seed: int, tmp_path: Path) -> None:
    fsck(write_image(random_tree(seed, leaves=200), min_version=1), tmp_path)


def _assets() -> Path:
    folder = os.environ.get("POWERNODE_COMPOSEFS_ASSETS")
    if folder is None:
        pytest.skip("POWERNODE_COMPOSEFS_ASSETS does not name the tests/assets folder of C composefs")
    return Path(folder)


@pytest.mark.parametrize("name", IMAGES)
def test_public_assets(name: str, tmp_path: Path) -> None:
    path = _assets() / name
    low, high = versions_of(path)
    tree = parse_dump(text_of(path), strict=name not in LENIENT)
    image = write_image(tree, min_version=low, max_version=high)
    assert hashlib.sha256(image).hexdigest() == recorded_sha256(path)
    dump = print_dump(read_image(image))
    assert write_image(parse_dump(dump), min_version=low, max_version=high) == image
    fsck(image, tmp_path)


@pytest.mark.parametrize("name", REFUSALS)
def test_public_assets_that_must_be_refused(name: str) -> None:
    with pytest.raises(DataError) as caught:
        write_image(parse_dump(text_of(_assets() / f"should-fail-{name}.dump")))
    assert caught.value.code == REFUSALS[name]


def test_the_tools_are_what_we_think() -> None:
    assert tool("mkcomposefs").name.startswith("mkcomposefs")
