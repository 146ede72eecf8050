# SPDX-License-Identifier: MIT
"""The C library must be worth having: rates against plain Python in the same run, as ratios with a wide margin.

Never absolute times: they belong to the machine. `pytest --benchmark-enable tests/bench_guards` also prints the times;
comparisons with other tools are in bench/.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powernode import native, verity
from powernode.verity import Params
from unit.native._doors import through

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 7
MIB = 1 << 20

pytestmark = pytest.mark.skipif(native.library() is None, reason=f"nothing to compare: {native.reason()}")


def _seconds(action: Callable[[], object]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def _guard(benchmark: BenchmarkFixture, action: Callable[[], object], least: float) -> None:
    """Best of several rounds of both, in turn, so that a busy moment of the machine meets both."""
    pure = library = float("inf")
    for _ in range(ROUNDS):
        with through("pure"):
            pure = min(pure, _seconds(action))
        native.library()
        library = min(library, _seconds(action))
        if pure / library >= 2 * least:
            break
    benchmark.extra_info["times as fast as plain Python"] = round(pure / library, 2)
    benchmark(action)
    assert pure / library >= least


@pytest.mark.parametrize(("algorithm", "least"), [("sha256", 1.5), ("sha512", 1.2)])
def test_a_large_buffer(benchmark: BenchmarkFixture, algorithm: str, least: float) -> None:
    data, params = bytes(range(256)) * (16 * MIB // 256), Params(algorithm)
    _guard(benchmark, lambda: verity.digest_buffer(data, params), least)


def test_a_large_file(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (16 * MIB // 256))
    _guard(benchmark, lambda: verity.digest_file(path), 1.5)


def test_many_small_files(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(2000)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number % 251]) * (number * 7 % 3000))
    # Half of the time is the kernel's, opening files: one thread alone is about twice as fast as plain Python, and on a
    # busy machine there is no second one.
    _guard(benchmark, lambda: verity.digest_files(paths), 1.5)


def test_pieces(benchmark: BenchmarkFixture) -> None:
    piece = bytes(65536)

    def stream() -> None:
        hasher = verity.Hasher()
        for _ in range(64):
            hasher.update(piece)
        hasher.digest()

    _guard(benchmark, stream, 1.2)
