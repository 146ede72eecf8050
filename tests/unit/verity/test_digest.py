# SPDX-License-Identifier: MIT
"""Digests through every door: recorded ones, and sizes round every limit of the tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from powernode import verity
from powernode.base.errors import OperatorError
from powernode.verity import Digest, Params
from powernode.verity.params import BLOCK_SIZES
from unit.verity._reference import LARGEST, content, expected_digest, sizes_at_limits

# From the fsverity tool; the first is also in the kernel's documentation of overlayfs and in every composefs image.
KNOWN = {
    b"": "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95",
    b"hello world\n": "37061ef2ac4c21bec68489b56138c5780306a4ad7fe6676236ecdf2c9027cd92",
    b"foo bar baz\n": "91e7d88cb7bc9cf6d8db3b0ecf89af4abf204bef5b3ade5113d5b62ef374e70b",
}
SALTED = Params("sha512", 1024, b"Powernode")
EVERY_PARAMS = [
    Params(algorithm, block_size, salt)
    for algorithm in ("sha256", "sha512")
    for block_size in BLOCK_SIZES
    for salt in (b"", b"\xff" * 32)
]


def named(params: Params) -> str:
    return f"{params.algorithm}-{params.block_size}-{len(params.salt)}"


@pytest.mark.parametrize("data", KNOWN, ids=["empty", "hello", "foo"])
def test_known_digests(door: str, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    known = Digest("sha256", bytes.fromhex(KNOWN[data]))
    hasher = verity.Hasher()
    hasher.update(data)
    with open(path, "rb") as file:
        assert verity.digest_fd(file.fileno()) == known
    assert verity.digest_file(path) == known
    assert verity.digest_buffer(data) == known
    assert hasher.digest() == known
    assert verity.digest_files([path, path]) == [known, known]


@pytest.mark.parametrize("params", EVERY_PARAMS, ids=named)
def test_sizes_round_every_limit(door: str, params: Params) -> None:
    for size in sizes_at_limits(params, most=1 << 20):
        assert verity.digest_buffer(content(size), params) == expected_digest(size, params), size


@pytest.mark.parametrize("params", [Params(), Params("sha256", 1024), SALTED, Params("sha512")], ids=named)
def test_large_sizes_round_the_limits(door: str, tmp_path: Path, params: Params) -> None:
    sizes = [size for size in sizes_at_limits(params, most=LARGEST + 8192) if size > 1 << 20]
    path = tmp_path / "file"
    path.write_bytes(content(sizes[-1]))
    for size in reversed(sizes):
        os.truncate(path, size)
        assert verity.digest_file(path, params) == expected_digest(size, params), size


def test_the_offset_of_the_descriptor_does_not_matter(door: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(10_000))
    with open(path, "rb", buffering=0) as file:
        file.seek(5000)
        assert verity.digest_fd(file.fileno()) == expected_digest(10_000, Params())
        assert file.tell() == 5000


def test_many_files_keep_their_order(door: str, tmp_path: Path) -> None:
    """Through all ways a file can go: batched, alone, shared between threads; and more than one flush of a batch."""
    sizes = [0, 1, 4096, 4097, 262_144, 262_145, 300_000, 33 << 20, 5, 1 << 20] + [700 * n for n in range(900)]
    paths = [tmp_path / str(number) for number in range(len(sizes))]
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        path.write_bytes(content(size, number))
    wanted = [expected_digest(size, Params(), number) for number, size in enumerate(sizes)]
    for threads in (1, 3):
        assert verity.digest_files(paths, threads=threads) == wanted


@pytest.mark.parametrize("params", EVERY_PARAMS, ids=named)
def test_batches_with_every_parameter(door: str, tmp_path: Path, params: Params) -> None:
    sizes = sizes_at_limits(params, most=300_000) * 2
    paths = [tmp_path / str(number) for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(content(size))
    wanted = [expected_digest(size, params) for size in sizes]
    assert verity.digest_files(paths, params) == wanted


def test_no_files(door: str) -> None:
    assert verity.digest_files([]) == []


def test_a_symlink_is_followed(door: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello world\n")
    link = tmp_path / "link"
    link.symlink_to("file")
    assert verity.digest_file(link).hex == KNOWN[b"hello world\n"]
    assert verity.digest_files([link]) == [verity.digest_file(link)]


@pytest.mark.parametrize("name", [b"with space", b"new\nline", b"\xff\xfe", "ä".encode(), b"-x", b"a" * 255])
def test_odd_names(door: str, tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    Path(os.fsdecode(path)).write_bytes(b"foo bar baz\n")
    for spelling in (path, os.fsdecode(path), Path(os.fsdecode(path))):
        assert verity.digest_file(spelling).hex == KNOWN[b"foo bar baz\n"]
        assert verity.digest_files([spelling]) == [verity.digest_file(path)]


def test_the_hasher_gives_its_digest_twice_but_takes_no_more_data(door: str) -> None:
    hasher = verity.Hasher()
    hasher.update(b"hello world\n")
    first = hasher.digest()
    with pytest.raises(OperatorError) as refusal:
        hasher.update(b"more")
    assert refusal.value.code == "verity.finished"
    assert hasher.digest() == first == verity.digest_buffer(b"hello world\n")


@pytest.mark.parametrize("threads", range(9))
def test_any_number_of_threads(door: str, tmp_path: Path, threads: int) -> None:
    size = (6 << 20) + 12_345
    path = tmp_path / "file"
    path.write_bytes(content(size))
    wanted = expected_digest(size, Params())
    assert verity.digest_file(path, threads=threads) == wanted
    assert verity.digest_buffer(content(size), threads=threads) == wanted
    assert verity.merkle_tree(content(size), threads=threads)[0] == wanted


def test_more_threads_than_there_can_be_are_as_many_as_there_can_be(door: str) -> None:
    data = content(5 << 20)
    assert verity.digest_buffer(data, threads=1 << 70) == verity.digest_buffer(data, threads=1)
