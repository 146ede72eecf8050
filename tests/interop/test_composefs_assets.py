# SPDX-License-Identifier: MIT
"""The public test data of composefs: the digests it records, and every text as composefs-info prints it."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

import pytest

from powernode import native
from powernode.base.errors import DataError
from powernode.composefs import image
from support.assets import IMAGES, LENIENT, REFUSALS, recorded_sha256, text_of, versions_of
from support.debian import UnavailableError
from support.peers import ensure_assets
from unit.composefs._pure_trees import fsck, mkcomposefs, tool

LARGE = ("cs9-x86_64-developer.dump.gz", "f36-x86_64-silverblue.dump.gz")


@pytest.fixture(scope="module")
def assets() -> Path:
    try:
        return ensure_assets()
    except UnavailableError as error:
        pytest.skip(f"the public test data cannot be had here: {error}")


@pytest.fixture(params=IMAGES)
def name(request: pytest.FixtureRequest) -> str:
    chosen = str(request.param)
    if chosen in LARGE and native.library() is None:
        pytest.skip("the two largest are for the C library: plain Python takes half a minute for each")
    return chosen


@cache
def _made(path: Path) -> tuple[bytes, int, int]:
    """The image of an asset and its versions; once for all tests."""
    low, high = versions_of(path)
    return image.from_dump(text_of(path), min_version=low, max_version=high, strict=path.name not in LENIENT), low, high


def _info(verb: str, data: bytes, work: Path, *options: str) -> bytes:
    (work / "image").write_bytes(data)
    command: list[str | Path] = [tool("composefs-info"), *options, verb, work / "image"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_none_is_forgotten(assets: Path) -> None:
    there = {path.name for path in assets.iterdir() if path.name.endswith((".dump", ".dump.gz"))}
    assert there == {*IMAGES, *(f"should-fail-{each}.dump" for each in REFUSALS)}


def test_recorded_digest(assets: Path, name: str) -> None:
    data, _, _ = _made(assets / name)
    assert hashlib.sha256(data).hexdigest() == recorded_sha256(assets / name)


def test_the_same_image_as_the_peer(assets: Path, name: str, tmp_path: Path) -> None:
    data, low, high = _made(assets / name)
    assert data == mkcomposefs(text_of(assets / name), tmp_path, f"--min-version={low}", f"--max-version={high}")


def test_dump_and_image_are_the_same_thing(assets: Path, name: str) -> None:
    data, low, high = _made(assets / name)
    text = image.dump(data)
    assert image.from_dump(text, min_version=low, max_version=high, strict=True) == data
    tree = image.to_tree(data)
    assert image.to_dump(tree) == text
    assert image.from_tree(tree, min_version=low, max_version=high) == data


def test_texts_as_the_peer_prints_them(assets: Path, name: str, tmp_path: Path) -> None:
    data, _, _ = _made(assets / name)
    assert image.dump(data) == _info("dump", data, tmp_path)
    assert image.listing(data) == _info("ls", data, tmp_path)
    assert b"".join(each + b"\n" for each in image.objects(data)) == _info("objects", data, tmp_path)


def test_filtered_texts_as_the_peer_prints_them(assets: Path, name: str, tmp_path: Path) -> None:
    data, _, _ = _made(assets / name)
    root = [path.split(b" ")[0][1:] for path in image.dump(data).splitlines() if path.count(b"/") >= 1]
    names = [each for each in dict.fromkeys(root) if each and b"/" not in each and b"\\" not in each][:2]
    options = [f"--filter={each.decode()}" for each in names] or ["--filter=absent"]
    only = names or [b"absent"]
    assert image.dump(data, only=only) == _info("dump", data, tmp_path, *options)
    assert image.listing(data, only=only) == _info("ls", data, tmp_path, *options)


def test_fsck_finds_nothing(assets: Path, name: str, tmp_path: Path) -> None:
    fsck(_made(assets / name)[0], tmp_path)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_must_be_refused(assets: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        image.from_dump(text_of(assets / f"should-fail-{name}.dump"))
    assert caught.value.code == REFUSALS[name]
