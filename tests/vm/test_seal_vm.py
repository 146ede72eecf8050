# SPDX-License-Identifier: MIT
"""Sealing many files on a kernel with fs-verity, by the C library through ctypes and by plain Python, in one boot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vm._vm import boot, make_ext4
from vm._vm_initramfs import SOURCES, build
from vm._vm_kernel import Kernel
from vm.conftest import HERE, IMPORTS, MODULES

LIBRARY = SOURCES / "powernode/native/_powernode.abi3.so"
COUNT = 200  # as in _guest_seal.py
SIZES = [0, 1, 4096, 4097, 20_000, 128 * 4096 + 1]
Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the guest found out, by name."""
    if not LIBRARY.exists():
        pytest.skip("the C library was not built")
    folder = tmp_path_factory.mktemp("vm")
    disks = [
        make_ext4(folder / "verity.img", size_mib=128, verity=True),
        make_ext4(folder / "small.img", size_mib=16, verity=True),
        make_ext4(folder / "plain.img", size_mib=16, verity=False),
    ]
    initramfs = build(
        kernel.closure(MODULES),
        script=HERE / "_guest_seal.py",
        imports=(*IMPORTS, "powernode.linux.seal", "powernode.native._ctypes_door"),
        files={
            "vm/_reference.py": Path(HERE / "_reference.py").read_bytes(),
            "powernode/native/_powernode.abi3.so": LIBRARY.read_bytes(),
        },
    )
    return boot(kernel, initramfs, disks=disks, timeout_s=300).results


def test_both_ways_were_taken(found: Found) -> None:
    assert (found["c-door"], found["python-door"]) == ("ctypes", None)


@pytest.mark.parametrize("way", ["c", "python"])
class TestEachWay:
    def test_first_only_measured(self, found: Found, way: str) -> None:
        assert found[f"{way}-before"] == {"ENODATA": COUNT}

    def test_sealed_but_for_what_is_wrong(self, found: Found, way: str) -> None:
        counts, other_digest, open_for_writing, missing, link = found[f"{way}-first"]
        assert (other_digest, open_for_writing, missing, link) == ("EBADMSG", "ETXTBSY", "ENOENT", "ELOOP")
        assert counts == {"good": COUNT - 2, "EBADMSG": 1, "ETXTBSY": 1, "ENOENT": 1, "ELOOP": 1}
        size = sum(SIZES[number % len(SIZES)] for number in range(COUNT))
        assert found[f"{way}-watch"] == [COUNT + 2, size, False]

    def test_the_next_run_goes_on(self, found: Found, way: str) -> None:
        assert found[f"{way}-again"] == {"good": COUNT}
        assert found[f"{way}-after"] == {"good": COUNT}
        assert found[f"{way}-kernel"] is True

    def test_a_full_disk_ends_the_run(self, found: Found, way: str) -> None:
        assert found[f"{way}-full"] == ["ENOSPC", "ECANCELED", "ECANCELED", "ECANCELED"]
        assert found[f"{way}-room"] == {"good": 4}

    def test_filesystems_without_verity(self, found: Found, way: str) -> None:
        # Python knows EOPNOTSUPP by its other name.
        assert found[f"{way}-plain"] == {"ENOTSUP": 3}
        assert found[f"{way}-tmpfs"] == {"ENOTTY": 3}

    def test_read_only_filesystem(self, found: Found, way: str) -> None:
        """What is sealed is good there too; what is not cannot be sealed."""
        assert found[f"{way}-read-only"] == [{"EROFS": 2}, {"good": 6}]
