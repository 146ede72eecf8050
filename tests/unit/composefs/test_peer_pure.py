# SPDX-License-Identifier: MIT
"""The pure code against the C composefs tools: same bytes, same text.

Needs mkcomposefs, composefs-info and fsck.erofs (POWERNODE_MKCOMPOSEFS, … or PATH). POWERNODE_COMPOSEFS_ASSETS may name
the `tests/assets` folder of C composefs.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.composefs._dump_parse import parse_dump
from powernode.composefs._dump_print import print_dump
from powernode.composefs._image_pure import image_objects, read_image, write_image
from powernode.composefs.tree import Directory
from unit.composefs._pure_trees import fsck, info_dump, mkcomposefs, random_tree, tool

VERSIONS = ((0, 0), (0, 1), (1, 1))
LENIENT = {"no-newline.dump", "longlink.dump", "honggfuzz-longlink-unterminated.dump"}


def _options(versions: tuple[int, int]) -> tuple[str, str]:
    return f"--min-version={versions[0]}", f"--max-version={versions[1]}"


def _compare(tree: Directory, versions: tuple[int, int], work: Path) -> bytes:
    text = print_dump(tree)
    image = write_image(tree, min_version=versions[0], max_version=versions[1])
    assert image == mkcomposefs(text, work, *_options(versions))
    assert image == write_image(parse_dump(text), min_version=versions[0], max_version=versions[1])
    dumped = info_dump(image, work)
    back = read_image(image)
    assert print_dump(back) == dumped
    # Written again from the dump the C tool prints, as the C tool would: hard links now live at their first name.
    again = write_image(back, min_version=versions[0], max_version=versions[1])
    assert again == mkcomposefs(dumped, work, *_options(versions))
    return image


@given(seed=st.integers(0, 1 << 32), leaves=st.integers(0, 60), versions=st.sampled_from(VERSIONS))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_generated_trees(tmp_path: Path, seed: int, leaves: int, versions: tuple[int, int]) -> None:
    _compare(random_tree(seed, leaves=leaves), versions, tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_larger_trees(seed: int, tmp_path: Path) -> None:
    image = _compare(random_tree(seed, leaves=700), VERSIONS[seed % 3], tmp_path)
    objects = image_objects(image)
    assert objects == sorted(set(objects))


@pytest.mark.parametrize("seed", range(6))
def test_fsck_finds_nothing(seed: int, tmp_path: Path) -> None:
    fsck(write_image(random_tree(seed, leaves=200), min_version=1), tmp_path)


def _assets() -> Path:
    folder = os.environ.get("POWERNODE_COMPOSEFS_ASSETS")
    if folder is None:
        pytest.skip("POWERNODE_COMPOSEFS_ASSETS does not name the tests/assets folder of C composefs")
    return Path(folder)


def _asset_text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_public_assets(tmp_path: Path) -> None:
    found = 0
    for path in sorted([*_assets().glob("*.dump"), *_assets().glob("*.dump.gz")]):
        if path.name.startswith("should-fail"):
            continue
        found += 1
        version_file = path.with_name(path.name + ".version")
        versions = (0, 1)
        if version_file.exists():
            versions = (int(version_file.read_text()),) * 2
        tree = parse_dump(_asset_text(path), strict=path.name not in LENIENT)
        image = write_image(tree, min_version=versions[0], max_version=versions[1])
        expected = path.with_name(path.name + ".sha256").read_text().split()[0]
        assert hashlib.sha256(image).hexdigest() == expected, path.name
        text = print_dump(read_image(image))
        assert write_image(parse_dump(text), min_version=versions[0], max_version=versions[1]) == image, path.name
        fsck(image, tmp_path)
    assert found >= 14


def test_public_assets_that_must_be_refused() -> None:
    codes = {}
    for path in sorted(_assets().glob("should-fail-*.dump")):
        with pytest.raises(DataError) as caught:
            write_image(parse_dump(_asset_text(path)))
        codes[path.name.removeprefix("should-fail-").removesuffix(".dump")] = caught.value.code
    assert codes == {
        "big-inline": "dump.content-long",
        "dir-hardlink": "dump.hardlink-directory",
        "dot-name": "dump.name-dot",
        "dotdot-name": "dump.name-dot",
        "empty-link-name": "dump.symlink-empty",
        "empty-name": "dump.name-empty",
        "empty-xattr-key": "dump.xattr-name",
        "honggfuzz-long-xattr": "dump.xattr-total",
        "long-link": "dump.payload-long",
        "long-xattr-key": "dump.xattr-text",
        "long-xattr-value": "dump.mode",
        "no-ftype": "dump.mode",
        "self-hardlink": "dump.hardlink-self",
        "too-big": "dump.file-size",
    }


def test_the_tools_are_what_we_think() -> None:
    assert tool("mkcomposefs").name.startswith("mkcomposefs")
