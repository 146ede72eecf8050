# SPDX-License-Identifier: MIT
"""Whatever the parameters and the data: buffer, file, many files and pieces give what the definition gives."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from powernode import verity
from powernode.verity import Digest, Params
from powernode.verity.params import BLOCK_SIZES, SALT_MAX_BYTES
from unit.verity._reference import content, expected

PARAMS = st.builds(
    Params,
    algorithm=st.sampled_from(["sha256", "sha512"]),
    block_size=st.sampled_from(BLOCK_SIZES),
    salt=st.binary(max_size=SALT_MAX_BYTES),
)
STARTS = st.integers(0, 1000)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Params, int, int]:
    """Parameters, a size that is often near a whole number of blocks, and where the content starts."""
    params = draw(PARAMS)
    blocks = draw(st.integers(0, min(300, (3 << 20) // params.block_size)))
    more = draw(st.one_of(st.integers(-2, 2), st.integers(0, params.block_size)))
    return params, max(0, blocks * params.block_size + more), draw(STARTS)


@given(case=cases(), threads=st.integers(1, 8))
@settings(max_examples=40)
def test_buffer_and_file(door: str, case: tuple[Params, int, int], threads: int) -> None:
    params, size, start = case
    data = content(size, start)
    wanted = Digest(params.algorithm, expected(data, params).digest)
    assert verity.digest_buffer(data, params, threads=threads) == wanted
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        assert verity.digest_fd(file.fileno(), params, threads=threads) == wanted
        assert verity.digest_file(file.name, params, threads=threads) == wanted
        assert verity.digest_files([file.name] * 3, params, threads=threads) == [wanted] * 3


@given(case=cases(), cuts=st.lists(st.floats(0, 1), max_size=12), with_empty=st.booleans())
@settings(max_examples=60)
def test_any_pieces(door: str, case: tuple[Params, int, int], cuts: list[float], with_empty: bool) -> None:
    params, size, start = case
    data = content(size, start)
    hasher = verity.Hasher(params)
    at = 0
    for end in [*sorted(int(cut * size) for cut in cuts), size]:
        hasher.update(data[at:end])
        if with_empty:
            hasher.update(b"")
        at = end
    assert hasher.digest().value == expected(data, params).digest


@given(params=PARAMS, size=st.integers(0, 9000), piece=st.integers(1, 130))
@settings(max_examples=25)
def test_tiny_pieces(door: str, params: Params, size: int, piece: int) -> None:
    hasher = verity.Hasher(params)
    for at in range(0, size, piece):
        hasher.update(bytes(content(min(piece, size - at), at)))
    assert hasher.digest().value == expected(content(size), params).digest


@given(case=cases(), threads=st.integers(1, 8))
@settings(max_examples=40)
def test_tree_and_descriptor(door: str, case: tuple[Params, int, int], threads: int) -> None:
    params, size, start = case
    data = content(size, start)
    wanted = expected(data, params)
    assert verity.merkle_tree(data, params, threads=threads) == (Digest(params.algorithm, wanted.digest), wanted.tree)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        with open(path, "rb") as file:
            digest, tree = verity.merkle_tree(file.fileno(), params, threads=threads)
            assert (digest.value, tree) == (wanted.digest, wanted.tree)
            assert verity.descriptor(file.fileno(), params, tree) == wanted.descriptor


@given(sizes=st.lists(st.integers(0, 20_000), max_size=60), params=PARAMS, threads=st.integers(1, 8))
@settings(max_examples=15)
def test_many_files(door: str, sizes: list[int], params: Params, threads: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(sizes))]
        for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
            path.write_bytes(content(size, number))
        wanted = [expected(content(size, number), params).digest for number, size in enumerate(sizes)]
        found = verity.digest_files(paths, params, threads=threads)
        assert [digest.value for digest in found if isinstance(digest, Digest)] == wanted
