# SPDX-License-Identifier: MIT
"""Push: what is sent, in which order, and what a second push costs."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.module.push import choose, push
from powernode.net.http import Headers, Request, Response
from powernode.oci.documents import EMPTY, EMPTY_CONFIG, IMAGE_MANIFEST, Descriptor, Index, Manifest
from powernode.oci.layout import Layout
from powernode.oci.server.messages import Answer
from support._oci_modules import SBOM, TAG, Made, make
from support.registry import Direct, client, handler


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry waits for the disk after every step; nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda fd: os.fstat(fd) and None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    (folder / "tree/etc").mkdir(parents=True)
    (folder / "tree/etc/motd").write_bytes(b"hello" * 100)
    for path in (folder / "tree/etc/motd", folder / "tree/etc", folder / "tree"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return make(folder, folder / "tree")


def said(made: Made) -> dict[str, set[str]]:
    """What is said about the index and each manifest."""
    about = [made.index, *made.manifests]
    return {each.digest: {referrer.digest for referrer in made.layout.referrers(each.digest)} for each in about}


@pytest.fixture
def direct(tmp_path: Path) -> Direct:
    return Direct(handler(tmp_path))


def puts(direct: Direct) -> list[str]:
    """The manifests and tags that were stored, in order."""
    return [
        each.url.path.rpartition("/")[2]
        for each in direct.seen
        if each.method == "PUT" and "/manifests/" in each.url.path
    ]


def test_everything_goes_along_and_tags_come_last(made: Made, direct: Direct) -> None:
    registry = client(direct)
    pushed = push(made.layout, made.index, registry, tags=[TAG, "latest"])
    stored = puts(direct)
    signatures = {f"{digest.replace(':', '-')}.sig" for digest in said(made)}
    assert stored[-2:] == [TAG, "latest"]
    assert set(stored[-5:-2]) == signatures
    assert stored.index(made.manifests[0].digest) < stored.index(made.index.digest)
    assert (pushed.digest, pushed.tags, pushed.referrers) == (
        made.index.digest,
        (TAG, "latest"),
        sum(map(len, said(made).values())),
    )
    assert pushed.sent_manifests == len(stored) == 3 + pushed.referrers + 5
    blobs = [position for position, each in enumerate(direct.seen) if "/blobs/" in each.url.path]
    manifests = [
        position for position, each in enumerate(direct.seen) if each.method == "PUT" and "/manifests/" in each.url.path
    ]
    assert max(blobs) < min(manifests)
    for version in (TAG, "latest", made.index.digest):
        assert registry.manifest(version).descriptor.digest == made.index.digest
    for digest, expected in said(made).items():
        assert {each.digest for each in registry.referrers(digest)} == expected
    assert SBOM in {each.artifact_type for each in registry.referrers(made.manifests[0].digest)}


def test_a_second_time_nothing_is_sent(made: Made, direct: Direct) -> None:
    first = push(made.layout, made.index, client(direct), tags=[TAG])
    direct.seen.clear()
    second = push(made.layout, made.index, client(direct), tags=[TAG])
    assert {each.method for each in direct.seen} == {"GET", "HEAD"}
    assert (second.sent_blobs, second.sent_bytes, second.sent_manifests) == (0, 0, 0)
    assert second.skipped_blobs == first.sent_blobs > 0
    assert second.skipped_manifests == first.sent_manifests


def test_what_a_neighbour_has_is_mounted(made: Made, direct: Direct) -> None:
    push(made.layout, made.index, client(direct, "localhost/acme/base"), tags=[TAG])
    direct.seen.clear()
    pushed = push(made.layout, made.index, client(direct), tags=[TAG], mount_from=["acme/none", "acme/base"])
    assert (pushed.sent_blobs, pushed.mounted_blobs > 0) == (0, True)
    assert not [each for each in direct.seen if each.method in ("PATCH",)]


def test_a_registry_without_the_referrers_api(made: Made, direct: Direct) -> None:
    def change(request: Request) -> Response | None:
        if "/referrers/" not in request.url.path:
            return None
        return Response(request, 404, Headers(), io.BytesIO())

    def after(request: Request, answer: Answer) -> Answer:
        answer.headers = [each for each in answer.headers if each[0] != "OCI-Subject"]
        return answer

    direct.change, direct.after = change, after
    push(made.layout, made.index, client(direct), tags=[TAG])
    for digest, expected in said(made).items():
        index = client(direct).manifest(digest.replace(":", "-"))
        assert {each.digest for each in Index.parse(index.data).manifests} == expected
    assert puts(direct)[-1] == TAG


def test_after_a_break_it_goes_on(made: Made, direct: Direct) -> None:
    broken = MachineError("net.unreachable", "the cable")

    def after(request: Request, answer: Answer) -> Answer:
        if request.method == "PUT" and "/manifests/" in request.url.path:
            raise broken
        return answer

    direct.after = after
    with pytest.raises(MachineError):
        push(made.layout, made.index, client(direct), tags=[TAG])
    assert client(direct).find(TAG) is None
    direct.after = lambda request, answer: answer
    pushed = push(made.layout, made.index, client(direct), tags=[TAG])
    assert pushed.sent_blobs == 0
    assert client(direct).manifest(TAG).descriptor.digest == made.index.digest


def test_a_damaged_blob_is_not_sent(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "layout")
    config = layout.put(EMPTY, EMPTY_CONFIG)
    layer = layout.put(b"layer", "application/x")
    root = layout.put(Manifest(config=config, layers=(layer,)).encode(), IMAGE_MANIFEST)
    (tmp_path / "layout/blobs" / layer.digest.replace(":", "/")).write_bytes(b"LAYER")
    direct = Direct(handler(tmp_path / "registry"))
    with pytest.raises(DataError) as caught:
        push(layout, root, client(direct), tags=["v1"])
    assert caught.value.code == "oci.blob.digest"
    assert not puts(direct)


class _Watched:
    """How much of a file was read, by whoever reads it with pread or read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        for name in ("pread", "read"):
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, call: Callable[..., bytes]) -> Callable[..., bytes]:
        def counted(*arguments: int) -> bytes:
            data = call(*arguments)
            self.bytes += len(data)
            return data

        return counted


@pytest.fixture
def large(tmp_path: Path) -> tuple[Layout, Descriptor, Descriptor]:
    """A layout with a blob of some pieces, and what names it."""
    layout = Layout.create(tmp_path / "layout")
    layer = layout.put(random.Random(3).randbytes(5_000_000), "application/x")
    manifest = Manifest(config=layout.put(EMPTY, EMPTY_CONFIG), layers=(layer,))
    return layout, layout.put(manifest.encode(), IMAGE_MANIFEST), layer


def test_a_blob_is_read_once(
    large: tuple[Layout, Descriptor, Descriptor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By us and, as it hashes what comes, by our registry not at all."""
    layout, root, layer = large
    direct = Direct(handler(tmp_path / "registry"))
    registry = client(direct, chunk_bytes=1_000_000)
    watched = _Watched(monkeypatch)
    push(layout, root, registry, tags=["v1"])
    assert layer.size <= watched.bytes < layer.size + 10_000
    assert registry.read_blob(layer, max_bytes=layer.size) == layout.read(layer, max_bytes=layer.size)


@pytest.mark.parametrize("chunk_bytes", [1_000_000, 32 << 20], ids=["in pieces", "as a whole"])
@pytest.mark.parametrize("at", [0, 2_500_000, 4_999_999])
def test_a_blob_that_is_damaged_somewhere_is_never_complete(
    large: tuple[Layout, Descriptor, Descriptor], tmp_path: Path, chunk_bytes: int, at: int
) -> None:
    """The registry, which would notice as well, is not given the end of it."""
    layout, root, layer = large
    path = tmp_path / "layout/blobs" / layer.digest.replace(":", "/")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    direct = Direct(handler(tmp_path / "registry"))
    with pytest.raises(DataError) as caught:
        push(layout, root, client(direct, chunk_bytes=chunk_bytes), tags=["v1"])
    assert caught.value.code == "oci.blob.digest"
    assert sum(path.stat().st_size for path in (tmp_path / "registry/uploads").glob("*/data")) < layer.size
    assert not puts(direct)


def test_progress(made: Made, direct: Direct) -> None:
    told: list[tuple[int, int]] = []
    pushed = push(made.layout, made.index, client(direct), tags=[TAG], progress=lambda *each: told.append(each))
    assert told[-1] == (pushed.sent_blobs, pushed.sent_bytes)
    assert told == sorted(told)


class TestChoosing:
    def test_the_index_before_its_architectures(self, made: Made) -> None:
        assert choose(made.layout, None).digest == made.index.digest
        assert choose(made.layout, TAG).digest == made.index.digest
        assert choose(made.layout, made.index.digest).digest == made.index.digest

    def test_several(self, made: Made, tmp_path: Path) -> None:
        layout = Layout.create(tmp_path)
        config = layout.put(EMPTY, EMPTY_CONFIG)
        with pytest.raises(PowernodeError) as caught:
            choose(layout, None)
        assert (caught.value.code, caught.value.expected) == ("module.push.which", "one with a name")
        for name in ("v1", "v2"):
            manifest = Manifest(config=config, layers=(), annotations={"name": name})
            layout.add(layout.put(manifest.encode(), IMAGE_MANIFEST), name)
        with pytest.raises(PowernodeError) as caught:
            choose(layout, None)
        assert caught.value.expected == "v1, v2"
