# SPDX-License-Identifier: MIT
"""What belongs to an artifact is walked in order, and is bounded before it is fetched."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from powernode.base.errors import DataError
from powernode.module import refer
from powernode.module.refer import Walk
from powernode.oci.documents import (
    EMPTY,
    EMPTY_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    describe,
)

CONFIG = describe(EMPTY, EMPTY_CONFIG)
GIGABYTE = 1 << 30


class Described:
    """A source that makes its documents when they are asked for."""

    def __init__(self) -> None:
        self.documents: dict[str, Manifest | Index] = {}
        self.about: dict[str, list[Descriptor]] = {}
        self.asked: list[str] = []

    def add(self, document: Manifest | Index, about: str | None = None) -> Descriptor:
        media_type = IMAGE_INDEX if isinstance(document, Index) else IMAGE_MANIFEST
        descriptor = describe(document.encode(), media_type)
        self.documents[descriptor.digest] = document
        if about is not None:
            self.about.setdefault(about, []).append(descriptor)
        return descriptor

    def find(self, version: str) -> Descriptor | None:
        raise NotImplementedError

    def document(self, descriptor: Descriptor) -> bytes:
        self.asked.append(descriptor.digest)
        return self.documents[descriptor.digest].encode()

    def blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        raise NotImplementedError

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        return self.about.get(digest, [])


def blob(number: int, size: int) -> Descriptor:
    return Descriptor(media_type="a/b", digest=f"sha256:{number:064x}", size=size)


def code_of(source: Described, root: Descriptor) -> str | None:
    try:
        for _ in Walk(source).over(root):
            pass
    except DataError as error:
        return error.code
    return None


def test_the_order() -> None:
    source = Described()
    part = source.add(Manifest(config=CONFIG, layers=()))
    root = source.add(Index(manifests=(part,)))
    said = source.add(Manifest(config=CONFIG, layers=(), annotations={"is": "said"}), about=part.digest)
    found = [(each.descriptor.digest, each.subject) for each in Walk(source).over(root)]
    assert found == [(part.digest, None), (root.digest, None), (said.digest, part.digest)]


def test_nobody_makes_a_part_something_that_is_said() -> None:
    """Whoever may push says something about one part that mentions the other one."""
    source = Described()
    parts = [source.add(Manifest(config=CONFIG, layers=(blob(each, 2 * GIGABYTE),))) for each in range(2)]
    root = source.add(Index(manifests=tuple(parts)))
    other = source.add(Manifest(config=CONFIG, layers=(), annotations={"not": "ours"}))
    about = source.add(Index(manifests=(parts[1], other)), about=parts[0].digest)
    found = {each.descriptor.digest: each.is_said for each in Walk(source).over(root)}
    assert [digest for digest, is_said in found.items() if not is_said] == [
        *(each.digest for each in parts),
        root.digest,
    ]
    assert [digest for digest in found if found[digest]] == [other.digest, about.digest]


@pytest.mark.parametrize(("number", "code"), [(4, None), (9, "module.refer.manifest-bytes")])
def test_bytes_of_manifests(monkeypatch: pytest.MonkeyPatch, number: int, code: str | None) -> None:
    monkeypatch.setattr(refer, "_MAX_MANIFEST_BYTES", 8 * 100_000)
    source = Described()
    root = source.add(Manifest(config=CONFIG, layers=()))
    for each in range(number):
        source.add(Manifest(config=CONFIG, layers=(), annotations={"n": f"{each}" + "x" * 100_000}), about=root.digest)
    assert code_of(source, root) == code
    assert len(source.asked) == 1 + min(number, 7)  # what is too much is not asked for


@pytest.mark.parametrize(
    ("own", "said", "code"),
    [
        ([32 * GIGABYTE, 32 * GIGABYTE - 2], [], None),
        ([32 * GIGABYTE, 32 * GIGABYTE], [], "module.refer.blob-bytes"),
        ([32 * GIGABYTE], [GIGABYTE], None),
        ([100], [GIGABYTE // 2, GIGABYTE // 2, 1], "module.refer.blob-bytes"),
        ([100], [1 << 62], "module.refer.blob-bytes"),
    ],
)
def test_bytes_of_blobs(own: list[int], said: list[int], code: str | None) -> None:
    """Nobody need be asked for a blob to know that it is too large."""
    source = Described()
    layers = tuple(blob(number, size) for number, size in enumerate(own))
    root = source.add(Manifest(config=CONFIG, layers=layers))
    for number, size in enumerate(said, 100):
        source.add(Manifest(config=CONFIG, layers=(blob(number, size),)), about=root.digest)
    assert code_of(source, root) == code


def test_an_index_about_it_is_said_about_it_too() -> None:
    source = Described()
    root = source.add(Manifest(config=CONFIG, layers=()))
    inner = source.add(Manifest(config=CONFIG, layers=(blob(1, 2 * GIGABYTE),)))
    source.add(Index(manifests=(inner,)), about=root.digest)
    assert code_of(source, root) == "module.refer.blob-bytes"


def test_images_that_tags_name_count_with_the_others() -> None:
    source = Described()
    image = source.add(Manifest(config=CONFIG, layers=(blob(1, 2 * GIGABYTE),)))
    with pytest.raises(DataError) as caught:
        list(Walk(source).tagged([("sha256-00.sig", image)]))
    assert caught.value.code == "module.refer.blob-bytes"
    index = source.add(Index(manifests=(image,)))
    assert list(Walk(source).tagged([("sha256-00.sig", index)])) == []


def test_the_number_of_manifests_and_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Described()
    parts = [source.add(Manifest(config=CONFIG, layers=(blob(each, 1),))) for each in range(10)]
    root = source.add(Index(manifests=tuple(parts)))
    assert code_of(source, root) is None
    monkeypatch.setattr(refer, "_MAX_BLOBS", 10)  # the configuration is one, too
    assert code_of(source, root) == "module.refer.too-many"
    monkeypatch.undo()
    monkeypatch.setattr(refer, "_MAX_MANIFESTS", 10)
    assert code_of(source, root) == "module.refer.too-many"


def test_depth() -> None:
    source = Described()
    root = about = source.add(Manifest(config=CONFIG, layers=()))
    for each in range(9):
        about = source.add(Manifest(config=CONFIG, layers=(), annotations={"n": f"{each}"}), about=about.digest)
    assert code_of(source, root) == "module.refer.too-many"
