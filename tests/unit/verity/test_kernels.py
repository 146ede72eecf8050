# SPDX-License-Identifier: MIT
"""Each hash kernel of the library, chosen by name, against the definition; and choosing itself.

The kernels with masked CPU features are tests/native/test_kernels.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powernode import native, verity
from powernode.base.errors import MachineError, OperatorError
from powernode.verity import Digest, Params, kernels
from powernode.verity.params import BLOCK_SIZES
from unit.native._doors import kernel_names, through
from unit.verity._reference import content, expected, expected_digest, sizes_at_limits


@pytest.fixture(scope="module")
def _library() -> None:
    if native.library() is None:
        pytest.skip(f"no hash kernels: {native.reason()}")


@pytest.fixture(scope="module", params=kernel_names())
def kernel(request: pytest.FixtureRequest, _library: None) -> Iterator[kernels.Kernel]:
    """The one that is in use."""
    kernels.use(request.param)
    yield _in_use(request.param)
    kernels.use(None)


def _in_use(name: str) -> kernels.Kernel:
    (kernel,) = [each for each in kernels.kernels() if each.name == name]
    assert kernel.in_use
    return kernel


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@pytest.mark.parametrize("salt", [b"", b"salt", bytes(range(32))])
def test_sizes_round_every_limit(kernel: kernels.Kernel, block_size: int, salt: bytes) -> None:
    params = Params(kernel.algorithm, block_size, salt)
    for size in sizes_at_limits(params, most=600_000):
        assert verity.digest_buffer(content(size), params, threads=1) == expected_digest(size, params), size


@given(blocks=st.integers(0, 70), more=st.integers(0, 1023), start=st.integers(0, 130), salt=st.binary(max_size=32))
@settings(max_examples=40)
def test_any_number_of_blocks_at_any_address(
    kernel: kernels.Kernel, blocks: int, more: int, start: int, salt: bytes
) -> None:
    params = Params(kernel.algorithm, 1024, salt)
    data = content(blocks * 1024 + more, start)
    wanted = expected(data, params)
    assert verity.merkle_tree(data, params) == (Digest(kernel.algorithm, wanted.digest), wanted.tree)


def test_large_work_keeps_the_choice(kernel: kernels.Kernel) -> None:
    """Where the library would otherwise let the kernels race."""
    size, params = (4 << 20) + 5000, Params(kernel.algorithm)
    for threads in (1, 2, 5):
        assert verity.digest_buffer(content(size), params, threads=threads) == expected_digest(size, params)
    assert _in_use(kernel.name)


@pytest.mark.usefixtures("_library")
def test_what_is_there() -> None:
    found = kernels.kernels()
    names = [kernel.name for kernel in found]
    assert len(set(names)) == len(names)
    for algorithm in ("sha256", "sha512"):
        mine = [kernel for kernel in found if kernel.algorithm == algorithm]
        assert [kernel.usable for kernel in mine if kernel.name == f"{algorithm}-portable"] == [True]
        assert sum(kernel.in_use for kernel in mine) == 1
        assert all(kernel.usable for kernel in mine if kernel.in_use)
        assert all(kernel.name.startswith(algorithm) for kernel in mine)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("name", ["", "sha256", "sha256-portable ", "sha3-portable"])
def test_choosing_what_is_not_there(name: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        kernels.use(name)
    assert (refusal.value.code, refusal.value.found) == ("verity.kernel", name)
    assert refusal.value.expected is not None
    assert "sha256-portable" in refusal.value.expected


@pytest.mark.usefixtures("_library")
def test_the_race_keeps_the_choice() -> None:
    kernels.use("sha256-portable")
    kernels.use("sha512-portable")
    try:
        found = kernels.race(16)
        assert [kernel.name for kernel in kernels.kernels() if kernel.in_use] == ["sha256-portable", "sha512-portable"]
    finally:
        kernels.use(None)
    for kernel in found:
        assert (kernel.bytes_per_second > 0) == kernel.usable
        assert set(kernel.as_dict()) == {"algorithm", "bytes_per_second", "in_use", "name", "usable"}


@pytest.mark.parametrize("kib", [0, 1 << 50])
def test_a_race_over_nothing_or_everything(kib: int) -> None:
    with pytest.raises(OperatorError) as refusal:
        kernels.race(kib)
    assert refusal.value.code == "verity.race"


def test_no_kernels_without_the_library() -> None:
    with through("pure"):
        for call in (kernels.kernels, lambda: kernels.use(None), lambda: kernels.race(16)):
            with pytest.raises(MachineError) as refusal:
                call()
            assert refusal.value.code == "verity.no-kernels"
            assert refusal.value.found == "off by POWERNODE_NATIVE"
