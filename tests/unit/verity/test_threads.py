# SPDX-License-Identifier: MIT
"""Many Python threads in one library, and how much memory a large file takes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from powernode import native, verity
from powernode.verity import Params, kernels
from unit.verity._reference import content, expected_digest

MIB = 1 << 20
SIZES = [0, 1, 4096, 4097, 70_000, 300_000, 3 * MIB, 5 * MIB]
CHOICES = [Params(), Params("sha512"), Params("sha256", 1024, b"salt"), Params("sha512", 65536, bytes(32))]


def test_many_at_once(door: str, tmp_path: Path) -> None:
    paths = [tmp_path / str(size) for size in SIZES]
    for path, size in zip(paths, SIZES, strict=True):
        path.write_bytes(content(size))
    wanted = [[expected_digest(size, params) for size in SIZES] for params in CHOICES]

    def work(number: int) -> bool:
        params = CHOICES[number % len(CHOICES)]
        found = [verity.digest_buffer(content(size), params, threads=number % 3) for size in SIZES]
        for path, size in zip(paths, SIZES, strict=True):
            hasher = verity.Hasher(params)
            hasher.update(content(size // 2))
            hasher.update(content(size - size // 2, size // 2))
            assert hasher.digest() == verity.digest_file(path, params)
        return found == verity.digest_files(paths, params, threads=2) == wanted[number % len(CHOICES)]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_the_kernel_may_change_under_those_who_hash(tmp_path: Path) -> None:
    if native.library() is None:
        pytest.skip(f"no hash kernels: {native.reason()}")
    names = [kernel.name for kernel in kernels.kernels() if kernel.usable]
    jobs = [(size, params) for size in SIZES for params in CHOICES] * 4

    def work(job: tuple[int, Params]) -> bool:
        return verity.digest_buffer(content(job[0]), job[1], threads=2) == expected_digest(*job)

    assert all(map(work, jobs[:32]))  # so that the definition is not worked out below
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(work, jobs)
        for turn in range(300):
            kernels.use(names[turn % len(names)] if turn % 7 else None)
        assert all(results)
    kernels.use(None)


# VmHWM and not getrusage: what getrusage says begins with the memory of the process that forked this one.
MEASURE = """
import sys
from powernode import native, verity
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
params, threads, way = verity.Params(sys.argv[2], int(sys.argv[3])), int(sys.argv[4]), sys.argv[5]
verity.digest_buffer(bytes(100_000), params)
verity.digest_files([sys.argv[0]], params, threads=threads)
before = peak()
if way == "one":
    verity.digest_file(sys.argv[1], params, threads=threads)
elif way == "many":
    assert isinstance(verity.digest_files([sys.argv[1]] * 2, params, threads=threads)[0], verity.Digest)
else:
    hasher, piece = verity.Hasher(params), memoryview(bytes(65536))
    for _ in range(8192):
        hasher.update(piece)
    hasher.digest()
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("through", "algorithm", "block_size", "threads", "way", "mib"),
    [
        ("off", "sha256", 4096, 1, "one", 1024),
        ("off", "sha256", 65536, 1, "pieces", 512),
        ("auto", "sha256", 4096, 1, "one", 1024),
        ("auto", "sha256", 4096, 4, "one", 512),
        ("auto", "sha256", 4096, 2, "many", 256),
        ("auto", "sha512", 1024, 2, "one", 512),  # the largest tree: a fifteenth of the file
        ("auto", "sha256", 65536, 4, "one", 256),
        ("auto", "sha512", 1024, 1, "pieces", 512),
    ],
)
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, through: str, algorithm: str, block_size: int, threads: int, way: str, mib: int
) -> None:
    if through == "auto" and native.library() is None:
        pytest.skip(f"no C library: {native.reason()}")
    path, script = tmp_path / "sparse", tmp_path / "measure.py"
    path.touch()
    os.truncate(path, mib * MIB)
    script.write_text(MEASURE)
    command = [sys.executable, str(script), str(path), algorithm, str(block_size), str(threads), way]
    environment = {**os.environ, "POWERNODE_NATIVE": through}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=environment)
    assert 0 <= int(done.stdout) < threads * 8 * 1024, "KiB more than before"
