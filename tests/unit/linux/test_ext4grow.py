# SPDX-License-Identifier: MIT
"""How far a filesystem grows; that the kernel does it is tested in tests/root."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import MachineError
from powernode.linux.ext4grow import blocks_to_grow_to, grow


@given(
    filesystem=st.integers(1, 1 << 45), device=st.integers(1, 1 << 45), block=st.sampled_from([1024, 2048, 4096, 65536])
)
def test_it_never_shrinks_and_never_leaves_the_device(filesystem: int, device: int, block: int) -> None:
    blocks = blocks_to_grow_to(filesystem, block, device)
    if blocks is None:
        assert device - filesystem < 1 << 20
    else:
        assert filesystem < blocks * block <= device


def test_a_folder_that_is_no_ext4_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        grow("/proc", 1)
    assert caught.value.code == "linux.ext4.unsupported"
    with pytest.raises(MachineError) as caught:
        grow(str(tmp_path / "absent"), 1)
    assert caught.value.code == "linux.ext4.failed"
