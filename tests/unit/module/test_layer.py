# SPDX-License-Identifier: MIT
"""Layers: tree to blob to tree, by the table of contents or as a stream, with the C library and without; what of a blob
is read for what is missing; what is refused."""

from __future__ import annotations

import hashlib
import io
import os
import random
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powernode import native
from powernode.archive._zstd import Decompressed
from powernode.archive.chunked.entry import XATTR_COST_BYTES, Limits
from powernode.base.errors import DataError, MachineError, OperatorError, PowernodeError
from powernode.composefs import image as images
from powernode.composefs.store import object_path
from powernode.composefs.tree import CharacterDevice, Directory, Fifo, Node, RegularFile, Symlink
from powernode.module import _layer_fetch, layer
from unit.module._layers import (
    DOORS,
    Blob,
    file,
    module_of,
    new_store,
    random_module,
    retold,
    writing_through,
    written,
)

SEEDS = range(6)
BIG = 4 << 20


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[str]:
    with writing_through(request.param):
        yield request.param


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def zstandard_is_libzstd() -> bool:
    """Whether both doors compress with the same version, and so to the same bytes."""
    import zstandard

    major, minor, patch = zstandard.ZSTD_VERSION
    library = native.library()
    return library is not None and library.call("pn_zstd_version") == major * 10000 + minor * 100 + patch


# -- there and back ---------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1 << 32), leaves=st.integers(0, 60))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tree_and_layer_say_the_same(door: str, seed: int, leaves: int) -> None:
    """The image follows from the table of contents alone; the whole stream gives image and objects."""
    with TemporaryDirectory() as folder:
        module = random_module(Path(folder) / "m", seed, leaves=leaves)
        blob = written(module, Path(folder) / "blob")
        toc = blob.toc()
        assert images.from_tree(layer.tree_of(toc), min_version=1) == module.image.read_bytes()
        assert layer.composefs_digest(toc) == module.digest
        assert len(blob.asked) == 1
        store = new_store(Path(folder) / "store")
        with store.batch() as batch:
            tree = layer.read_layer(io.BytesIO(blob.data), batch)
        assert images.from_tree(tree, min_version=1) == module.image.read_bytes()
        assert list(store.digests()) == list(new_store(module.objects).digests())


def test_digests_and_sizes_are_those_of_the_bytes(tmp_path: Path, door: str) -> None:
    blob = written(random_module(tmp_path / "m", 1), tmp_path / "blob")
    reader = Decompressed(io.BytesIO(blob.data))
    archive = b"".join(iter(lambda: reader.read(1 << 16), b""))
    assert blob.written.digest == f"sha256:{hashlib.sha256(blob.data).hexdigest()}"
    assert blob.written.diff_id == f"sha256:{hashlib.sha256(archive).hexdigest()}"
    assert (blob.written.size, blob.written.uncompressed_size) == (len(blob.data), len(archive))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_number_of_threads_changes_nothing(tmp_path: Path, seed: int) -> None:
    with writing_through("cffi"):
        module = random_module(tmp_path / "m", seed, leaves=200)
        blobs = [written(module, tmp_path / f"blob{threads}", threads=threads) for threads in (1, 2, 5)]
        assert {blob.data for blob in blobs} == {blobs[0].data}


def sizes_tree() -> tuple[Directory, list[bytes]]:
    """Every border: of blocks, of what is inline, of frames; and more headers in a row than a frame holds."""
    sizes = (0, 1, 64, 65, 511, 512, 513, BIG - 1, BIG, BIG + 1, 2 * BIG + 7)
    contents = [(b"text " * (size // 5 + 1))[:size] for size in sizes]
    entries: dict[bytes, Node] = {b"f%08d" % len(data): file(data) for data in contents}
    entries[b"many"] = Directory(entries={b"d%05d" % number: Directory() for number in range(8300)})
    return Directory(entries=entries), [data for data in contents if len(data) > 64]


def test_both_doors_write_the_same_layer(tmp_path: Path) -> None:
    """The same archive and tables in any case, the same blob where both have the same version of libzstd."""
    blobs = []
    modules = [random_module(tmp_path / f"m{seed}", seed) for seed in SEEDS]
    tree, contents = sizes_tree()
    modules.append(module_of(tmp_path / "sizes", tree, *contents))
    for door in DOORS:
        with writing_through(door):
            same_version = zstandard_is_libzstd()
            blobs.append([written(module, tmp_path / "blob") for module in modules])
    for pure, ours in zip(*blobs, strict=True):
        assert pure.written.diff_id == ours.written.diff_id
        positions = [
            [(entry.path, entry.size, entry.digest, entry.verity, entry.xattrs) for entry in blob.toc().entries]
            for blob in (pure, ours)
        ]
        assert positions[0] == positions[1]
        if same_version:
            assert pure.data == ours.data


def test_the_level_is_the_caller_s(tmp_path: Path, door: str) -> None:
    data = b"".join(b"%d " % number for number in range(100_000))
    module = module_of(tmp_path / "m", Directory(entries={b"f": file(data)}), data)
    fast, small = (written(module, tmp_path / "blob", level=level) for level in (1, 19))
    assert small.written.size < fast.written.size
    assert small.written.diff_id == fast.written.diff_id
    with pytest.raises(OperatorError) as refused:
        written(module, tmp_path / "blob", level=20)
    assert refused.value.code == "module.layer.level"


def test_progress_counts_up_and_can_cancel(tmp_path: Path, door: str) -> None:
    contents = [noise(200_000, seed) for seed in range(30)]
    tree = Directory(entries={b"f%d" % number: file(data) for number, data in enumerate(contents)})
    module = module_of(tmp_path / "m", tree, *contents)
    told: list[tuple[int, int]] = []
    with open(tmp_path / "blob", "wb") as out:
        layer.write_layer(module, out, progress=lambda *counts: told.append(counts))
    assert told == sorted(told)
    assert told[-1] == (31, 30 * 200_000)

    def stop(done: int, size: int) -> None:
        raise KeyboardInterrupt

    with open(tmp_path / "blob", "wb") as out, pytest.raises(KeyboardInterrupt):
        layer.write_layer(module, out, progress=stop)


# -- what cannot be a layer -------------------------------------------------------------------------------------------

SHARED = RegularFile(size=1, content=b"x")
OTHER_DIGEST = RegularFile(size=100, digest=bytes(32), payload=b"ab/" + b"c" * 62)
UNFIT: dict[str, tuple[str, dict[bytes, Node]]] = {
    "a hard link": ("module.layer.hard-link", {b"a": SHARED, b"b": SHARED}),
    "a part of a second": ("module.layer.time", {b"a": RegularFile(mtime_ns=1)}),
    "a year of five digits": ("archive.layer.time", {b"a": RegularFile(mtime_s=253_402_300_800)}),
    "a device": ("module.layer.type", {b"a": CharacterDevice(rdev=0x103)}),
    "a whiteout": ("module.layer.type", {b"a": CharacterDevice(rdev=0)}),
    "a pipe": ("module.layer.type", {b"a": Fifo()}),
    "the name of a whiteout": ("archive.layer.whiteout", {b".wh.a": RegularFile()}),
    "a name that is not UTF-8": ("archive.layer.path.utf8", {b"a\xff": RegularFile()}),
    "half a surrogate pair": ("archive.layer.path.utf8", {b"\xed\xa0\x80": RegularFile()}),
    "a target that is not UTF-8": ("archive.layer.path.utf8", {b"a": Symlink(target=b"\x80")}),
    "an attribute with an equals sign": ("archive.layer.xattr", {b"a": RegularFile(xattrs=((b"user.a=b", b""),))}),
    "an attribute that is not UTF-8": ("archive.layer.path.utf8", {b"a": RegularFile(xattrs=((b"user.\xff", b""),))}),
    "more than one link": ("module.layer.not-the-same", {b"a": RegularFile(nlink=2)}),
    "content of its own above 64 bytes": ("module.layer.digest", {b"a": RegularFile(size=65, content=bytes(65))}),
    "an object under another name": ("module.layer.digest", {b"a": OTHER_DIGEST}),
    "a small file in the store": (
        "module.layer.content",
        {b"a": RegularFile(size=9, digest=bytes(32), payload=b"00/" + b"0" * 62)},
    ),
}


def deep(names: list[bytes]) -> dict[bytes, Node]:
    entries: dict[bytes, Node] = {}
    for name in reversed(names):
        entries = {name: Directory(entries=entries)}
    return entries


UNFIT["a path that is too long"] = ("archive.layer.path.long", deep([b"d" * 255] * 16 + [b"x"]))


@pytest.mark.parametrize("what", UNFIT)
def test_what_a_layer_cannot_say_is_refused(tmp_path: Path, door: str, what: str) -> None:
    code, entries = UNFIT[what]
    module = module_of(tmp_path / "m", Directory(entries=entries))
    with pytest.raises(PowernodeError) as refused:
        written(module, tmp_path / "blob")
    assert refused.value.code == code


def test_the_longest_path_is_no_trouble(tmp_path: Path, door: str) -> None:
    names = [b"d" * 255] * 15 + [b"e" * 255]  # 4095 bytes with the slashes between them
    module = module_of(tmp_path / "m", Directory(entries=deep(names)))
    assert layer.composefs_digest(written(module, tmp_path / "blob").toc()) == module.digest


def test_an_image_that_is_not_our_own_spelling_is_refused(tmp_path: Path, door: str) -> None:
    tree = Directory(entries={b"a": RegularFile(mtime_s=7)})
    module = module_of(tmp_path / "m", tree)
    module.image.write_bytes(images.from_tree(tree, min_version=0))
    module = replace(module, digest=images.digest(module.image.read_bytes()))
    with pytest.raises(DataError) as refused:
        written(module, tmp_path / "blob")
    assert refused.value.code == "module.layer.not-the-same"


@pytest.mark.parametrize(("change", "code"), [("remove", "module.layer.object"), ("shorten", "archive.layer.content")])
def test_an_object_that_is_not_there_as_the_tree_says(tmp_path: Path, door: str, change: str, code: str) -> None:
    module = module_of(tmp_path / "m", Directory(entries={b"a": file(bytes(5000))}), bytes(5000))
    (path,) = (path for path in module.objects.rglob("*") if path.is_file())
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes(bytes(4999))
    with pytest.raises((DataError, MachineError)) as refused:
        written(module, tmp_path / "blob")
    assert refused.value.code == code


def test_the_c_library_writes_no_more_than_readers_take() -> None:
    """A layer that reaches these limits is too large for a test; the numbers at least are the same."""
    text = (Path(__file__).parents[3] / "csrc/layer/entry.h").read_text()
    limits = layer.Limits()
    assert f"PN_LAYER_ENTRIES_MAX = {limits.entries}," in text
    assert f"PN_LAYER_NAMES_MAX = {limits.names_bytes >> 20} << 20 " in text
    assert f"PN_LAYER_XATTR_COST = {XATTR_COST_BYTES} " in text


def test_a_full_disk_is_said(tmp_path: Path, door: str) -> None:
    module = random_module(tmp_path / "m", 1)
    with open("/dev/full", "wb") as out, pytest.raises(MachineError) as refused:
        layer.write_layer(module, out)
    assert refused.value.code == "module.layer.write"


def test_nothing_is_written_that_readers_refuse(tmp_path: Path, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    xattrs = ((b"user.a", b"v" * 32_000),)  # the same for all: the table of contents packs it a thousand to one
    entries: dict[bytes, Node] = {b"%d" % number: RegularFile(xattrs=xattrs) for number in range(300)}
    module = module_of(tmp_path / "m", Directory(entries=entries))
    with pytest.raises(DataError) as refused:
        written(module, tmp_path / "blob")
    assert refused.value.code == "archive.toc.ratio"
    monkeypatch.setattr(layer, "Limits", lambda: Limits(bytes=10_000))
    with pytest.raises(DataError) as refused:
        written(random_module(tmp_path / "n", 1), tmp_path / "blob")
    assert refused.value.code == "module.layer.size"


# -- what is missing --------------------------------------------------------------------------------------------------


def many_files(tmp_path: Path, count: int = 200) -> tuple[Blob, list[bytes]]:
    contents = [noise(3000, seed) for seed in range(count)]
    tree = Directory(entries={b"f%04d" % number: file(data) for number, data in enumerate(contents)})
    return written(module_of(tmp_path / "m", tree, *contents), tmp_path / "blob"), contents


def test_only_what_is_missing_is_read(tmp_path: Path) -> None:
    blob, contents = many_files(tmp_path)
    toc = blob.toc()
    store = new_store(tmp_path / "store")
    absent = {0, 1, 2, 100, 199}
    with store.batch() as batch:
        for number, data in enumerate(contents):
            if number not in absent:
                batch.add_bytes(data)
    blob.asked.clear()
    ranges = layer.missing(toc, store)
    with store.batch() as batch:
        size = layer.fetch_missing(ranges, blob.read_range, batch)
    assert [len(part.files) for part in ranges] == [3, 1, 1]
    assert size == sum(length for _, length in blob.asked) < 6 * 3100
    assert layer.missing(toc, store) == []


def test_equal_files_are_fetched_once_and_large_ones_in_pieces(tmp_path: Path) -> None:
    large, small = noise(17 << 20), noise(100)
    tree = Directory(entries={b"a": file(large), b"b": file(small), b"c": file(large)})
    blob = written(module_of(tmp_path / "m", tree, large, small), tmp_path / "blob")
    store = new_store(tmp_path / "store")
    with store.batch() as batch:
        layer.fetch_missing(layer.missing(blob.toc(), store), blob.read_range, batch)
        assert batch.written == 2
    assert layer.missing(blob.toc(), store) == []


def large_file(tmp_path: Path, size: int = 24 << 20) -> Blob:
    """A layer of one file that is not held in memory; of few different bytes, but not compressible."""
    data = noise(4 << 20) * (size >> 22)
    return written(module_of(tmp_path / "m", Directory(entries={b"f": file(data)}), data), tmp_path / "blob")


def peak_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_of_a_large_file_a_piece_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it in /tmp, which is memory on a node: it waits beside the place where it will be."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no-such-folder"))
    blob = large_file(tmp_path)
    store, whole = new_store(tmp_path / "store"), new_store(tmp_path / "whole")
    ranges = layer.missing(blob.toc(), store)
    blob.asked.clear()

    def fetch() -> None:
        with store.batch() as batch:
            layer.fetch_missing(ranges, blob.read_range, batch)

    def read() -> None:
        with whole.batch() as batch:
            layer.read_layer(io.BytesIO(blob.data), batch)

    assert peak_bytes(fetch) < 12 << 20
    assert max(length for _, length in blob.asked) <= 4 << 20
    assert peak_bytes(read) < 12 << 20
    assert list(store.digests()) == list(whole.digests()) != []
    assert {path.name for path in (tmp_path / "store").iterdir()} == {object_path(next(store.digests()))[:2]}


def test_a_disk_that_fills_up_meanwhile_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = large_file(tmp_path)
    store = new_store(tmp_path / "store")
    ranges = layer.missing(blob.toc(), store)

    def full(*_: object, **__: object) -> BinaryIO:
        return os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")

    monkeypatch.setattr(_layer_fetch, "open", full, raising=False)
    for fill in (
        lambda batch: layer.fetch_missing(ranges, blob.read_range, batch),
        lambda batch: layer.read_layer(io.BytesIO(blob.data), batch),
    ):
        with pytest.raises(MachineError) as refused, store.batch() as batch:
            fill(batch)
        assert refused.value.code == "composefs.store.no-space"
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize("size", [3000, 17 << 20], ids=["small", "large"])
def test_nothing_is_kept_of_what_is_not_the_object(tmp_path: Path, size: int) -> None:
    one, two = noise(size, 1), noise(size, 2)
    tree = Directory(entries={b"a": file(one), b"b": file(two)})
    blob = written(module_of(tmp_path / "m", tree, one, two), tmp_path / "blob")
    first, second = (entry for entry in blob.toc().entries if entry.verity is not None)
    wrong = replace(first, verity=second.verity)
    store = new_store(tmp_path / "store")
    with store.batch() as batch:
        part = layer.Range(start=first.offset, length=first.end_offset - first.offset, files=(wrong,))
        with pytest.raises(DataError) as refused:
            layer.fetch_missing([part], blob.read_range, batch)
        assert refused.value.code == "module.layer.object-digest"
    assert list(store.digests()) == []


def test_the_diff_id_comes_with_the_tree(tmp_path: Path) -> None:
    """Without a batch nothing is kept; and nothing is decompressed beyond the limit."""
    blob = large_file(tmp_path)
    archive = hashlib.sha256()
    tree = layer.read_layer(io.BytesIO(blob.data), None, diff_id=archive)
    assert images.digest(images.from_tree(tree, min_version=1)) == layer.composefs_digest(blob.toc())
    assert f"sha256:{archive.hexdigest()}" == blob.written.diff_id
    with pytest.raises(DataError) as refused:
        layer.read_layer(io.BytesIO(blob.data), None, limits=layer.Limits(bytes=1 << 20), diff_id=archive)
    assert refused.value.code == "archive.data.too-large"


def tampered(blob: Blob, change: dict[str, int]) -> list[layer.Range]:
    """The range of one file, with its entry changed."""
    entry = next(entry for entry in blob.toc().entries if entry.path == b"f0001")
    changed = replace(entry, **change)  # type: ignore[arg-type]
    return [layer.Range(start=changed.offset, length=changed.end_offset - changed.offset, files=(changed,))]


@pytest.mark.parametrize(
    ("what", "change", "code"),
    [
        ("another file's frame", {}, "module.layer.object-digest"),
        ("no frame", {}, "archive.zstd.corrupt"),
        ("too much content", {"size": 2999}, "module.layer.object-size"),
        ("too little content", {"size": 3001}, "module.layer.object-size"),
        ("half a frame", {"end_offset": -9}, "archive.zstd.truncated"),
    ],
)
def test_contents_that_are_not_what_was_promised(tmp_path: Path, what: str, change: dict[str, int], code: str) -> None:
    blob, _ = many_files(tmp_path, 3)
    entries = {entry.path: entry for entry in blob.toc().entries}
    one, two = entries[b"f0001"], entries[b"f0002"]
    if "end_offset" in change:
        change = {"end_offset": one.end_offset + change["end_offset"]}
    ranges = tampered(blob, change)
    data = bytearray(blob.data)
    if what == "another file's frame":
        assert one.end_offset - one.offset == two.end_offset - two.offset
        data[one.offset : one.end_offset] = blob.data[two.offset : two.end_offset]
    elif what == "no frame":
        data[one.offset] ^= 1
    blob.data = bytes(data)
    store = new_store(tmp_path / "store")
    with pytest.raises(DataError) as refused, store.batch() as batch:
        layer.fetch_missing(ranges, blob.read_range, batch)
    if what == "half a frame" and native.library() is None:
        code = "module.layer.object-size"  # zstandard does not tell; the size does
    assert refused.value.code == code
    assert list(store.digests()) == []


def test_a_registry_that_sends_less_than_asked_for(tmp_path: Path) -> None:
    blob, _ = many_files(tmp_path, 3)
    store = new_store(tmp_path / "store")
    ranges = layer.missing(blob.toc(), store)
    with pytest.raises(DataError) as refused, store.batch() as batch:
        layer.fetch_missing(ranges, lambda start, length: blob.data[start : start + length - 100], batch)
    assert refused.value.code == "module.layer.range"
    with pytest.raises(DataError) as refused:
        layer.read_toc(lambda start, length: b"", blob.written.annotations, blob_size=len(blob.data))
    assert refused.value.code == "module.layer.range"


def test_a_bomb_is_cut_off(tmp_path: Path) -> None:
    """What decompresses to a gigabyte must not be held: the table of contents says how much it may be."""
    bomb = bytes(64 << 20)
    tree = Directory(entries={b"f0001": file(bomb)})
    blob = written(module_of(tmp_path / "m", tree, bomb), tmp_path / "blob")
    ranges = tampered(blob, {"size": 3000})
    store = new_store(tmp_path / "store")
    with pytest.raises(DataError) as refused, store.batch() as batch:
        layer.fetch_missing(ranges, blob.read_range, batch)
    assert refused.value.code == "module.layer.object-size"


def test_contents_behind_the_blob_are_not_asked_for(tmp_path: Path) -> None:
    blob, _ = many_files(tmp_path, 3)
    for end in (blob.written.position.toc.offset + 1, (1 << 63) - 1):
        data, annotations = retold(
            blob.data,
            blob.written.annotations,
            lambda entry, end=end: replace(entry, end_offset=end) if entry.path == b"f0002" else entry,  # type: ignore[misc]
        )
        with pytest.raises(DataError) as refused:
            layer.read_toc(Blob(data, blob.written).read_range, annotations, blob_size=len(data))
        assert refused.value.code == "archive.toc.range"


def test_another_table_of_contents_is_refused(tmp_path: Path) -> None:
    blob, _ = many_files(tmp_path, 3)
    at = blob.written.position.toc.offset
    blob.data = blob.data[: at + 20] + bytes([blob.data[at + 20] ^ 1]) + blob.data[at + 21 :]
    with pytest.raises(DataError) as refused:
        blob.toc()
    assert refused.value.code == "module.layer.toc-digest"
