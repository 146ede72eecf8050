# SPDX-License-Identifier: MIT
"""`powernode.composefs.image` through the C library and without it: the same bytes, the same refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from powernode import native
from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.composefs import image
from powernode.composefs._image_pure import write_image
from powernode.composefs.tree import Directory, RegularFile
from powernode.verity import digest_buffer
from unit.composefs._pure_trees import random_tree
from unit.composefs._random_dump import random_dump

ROOT = b"/ 0 40755 2 0 0 0 0.0 - - -\n"
SMALL = ROOT + b"/a 5 100644 1 0 0 0 0.0 - hello -\n/b 1 120777 1 0 0 0 0.0 a - -\n"
VERSIONS = ((0, 0), (0, 1), (1, 1))


@pytest.fixture(params=["library", "python"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test that asks for it runs with the C library and without."""
    if request.param == "library":
        if native.library() is None:
            pytest.skip(f"no C library: {native.reason()}")
    else:
        monkeypatch.setattr(native, "library", lambda: None)
    return str(request.param)


def in_python(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> object:
    with monkeypatch.context() as context:
        context.setattr(native, "library", lambda: None)
        return outcome(call)


def outcome(call: Callable[[], object]) -> object:
    """What a call gives, or who must act and why."""
    try:
        return call()
    except PowernodeError as error:
        return type(error), error.code


def needs_library() -> None:
    if native.library() is None:
        pytest.skip(f"no C library: {native.reason()}")


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("versions", VERSIONS)
def test_random_dumps(monkeypatch: pytest.MonkeyPatch, seed: int, versions: tuple[int, int]) -> None:
    needs_library()
    text = random_dump(seed=seed)

    def make() -> bytes:
        return image.from_dump(text, min_version=versions[0], max_version=versions[1])

    assert outcome(make) == in_python(monkeypatch, make)


@pytest.mark.parametrize("seed", range(12))
def test_random_trees_there_and_back(door: str, seed: int) -> None:
    tree = random_tree(seed, leaves=80)
    data = image.from_tree(tree, min_version=seed % 2)
    assert data == write_image(tree, min_version=seed % 2)
    back = image.to_tree(data)
    assert image.to_dump(back) == image.dump(data)
    assert image.from_dump(image.dump(data), min_version=seed % 2) == image.from_tree(back, min_version=seed % 2)


@pytest.mark.parametrize("seed", range(12))
def test_random_texts(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    needs_library()
    tree = random_tree(seed, leaves=80)
    data = write_image(tree, min_version=1)
    names = [name for name in sorted(tree.entries) if b"\0" not in name]
    for only in ([], names[:1], names[1:4], [b"absent"], names):
        for call in (image.dump, image.listing, image.objects):

            def text(call: Callable[..., object] = call, only: list[bytes] = only) -> object:
                return call(data, only=only)

            assert outcome(text) == in_python(monkeypatch, text), (call.__name__, only)


def test_digest_is_that_of_the_file(door: str) -> None:
    data = image.from_dump(SMALL)
    assert image.digest(data) == digest_buffer(data)
    assert image.digest(memoryview(data)).hex == image.digest(data).hex
    # Recorded from the reference tool; the same for ever.
    assert image.digest(data).hex == "e786e4e25940997cd6a6ce5f0a72106a71b577af0fec9462caaf8cd002695c9a"


def test_views_of_images_are_images(door: str) -> None:
    data = memoryview(bytearray(image.from_dump(SMALL)))
    assert image.dump(data) == image.dump(bytes(data))
    assert image.listing(data) == b"/a\n/b\t-> a\n"
    assert image.objects(data) == []
    assert isinstance(image.to_tree(data).entries[b"a"], RegularFile)


def test_objects_are_sorted_and_each_there_once(door: str) -> None:
    digests = [f"{number:064x}" for number in (9, 3, 3, 7)]
    lines = [
        f"/f{at} 100 100644 1 0 0 0 0.0 {digest[:2]}/{digest[2:]} - {digest}\n" for at, digest in enumerate(digests)
    ]
    data = image.from_dump(ROOT + "".join(lines).encode())
    assert image.objects(data) == [f"00/{number:062x}".encode() for number in (3, 7, 9)]


@pytest.mark.parametrize("versions", [(2, 2), (0, 2), (2, 1), (-1, 1)])
def test_versions_that_cannot_be_written(door: str, versions: tuple[int, int]) -> None:
    low, high = versions
    with pytest.raises(OperatorError) as caught:
        image.from_dump(SMALL, min_version=low, max_version=high)
    assert caught.value.code == "composefs.version"
    with pytest.raises(OperatorError) as caught:
        image.from_tree(Directory(), min_version=low, max_version=high)
    assert caught.value.code == "composefs.version"


@pytest.mark.parametrize("name", [b"a/b", b"", b"/", b"a\0b"])
def test_filters_that_name_no_entry_of_the_root(door: str, name: bytes) -> None:
    for call in (image.dump, image.listing, image.objects):
        with pytest.raises(DataError) as caught:
            call(image.from_dump(SMALL), only=[b"a", name])
        assert caught.value.code == "composefs.filter"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "erofs.truncated"),
        (b"x", "erofs.truncated"),
        (bytes(4095), "erofs.truncated"),
        (bytes(4096), "composefs.magic"),
        (ROOT * 200, "composefs.magic"),
        (b"\x9a\x62\x78\xd0\x01" + bytes(8187), "erofs.magic"),
    ],
)
def test_what_is_no_image(door: str, data: bytes, code: str) -> None:
    for call in (image.dump, image.listing, image.objects, image.to_tree):
        with pytest.raises(DataError) as caught:
            call(data)
        assert caught.value.code == code


def test_a_wrong_header(door: str) -> None:
    data = image.from_dump(SMALL)
    for at, code in ((0, "composefs.magic"), (4, "composefs.version"), (12, "composefs.version")):
        with pytest.raises(DataError) as caught:
            image.listing(data[:at] + b"\x77" + data[at + 1 :])
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "strict", "code"),
    [
        (b"", False, "dump.empty"),
        (ROOT + b"\n", False, "dump.path-empty"),
        (ROOT + b"/a 0 100644 1 0 0 7 0.0 - - -\n", True, "dump.strict-rdev"),
        (ROOT + b"/a/b 0 100644 1 0 0 0 0.0 - - -\n", False, "dump.parent-missing"),
    ],
)
def test_refused_dumps(door: str, text: bytes, strict: bool, code: str) -> None:
    with pytest.raises(DataError) as caught:
        image.from_dump(text, strict=strict)
    assert caught.value.code == code
    if not strict and text.count(b"\n") > 1:
        assert "line 2" in caught.value.message
