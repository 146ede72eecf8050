# SPDX-License-Identifier: MIT
"""A machine that loses power while it fills its store: what has a name is whole, what was promised is there."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from vm._vm import boot, boot_and_cut_power, make_ext4
from vm._vm_kernel import Kernel
from vm.conftest import guest

CUTS = int(os.environ.get("POWERNODE_POWER_CUTS", "2"))


def initramfs(kernel: Kernel, promised: list[list[int]], *, write: bool) -> bytes:
    start = max((first + count for first, count, _ in promised), default=0) + 1000  # never what a cut batch wrote
    files = {"start": str(start).encode(), "promised": json.dumps(promised).encode()}
    return guest(kernel, "_guest_power_cut.py", {**files, "write": b""} if write else files)


def check(results: dict[str, Any]) -> int:
    found = results["check"]
    assert found["damaged"] == []
    assert found["misnamed"] == []
    assert found["unsealed"] == 0
    assert found["clean_after_gc"] is True
    assert results["lost"] == []
    return int(found["count"])


def test_power_cuts_while_the_store_is_filled(kernel: Kernel, tmp_path: Path) -> None:
    disk = make_ext4(tmp_path / "disk.img", size_mib=256, verity=True)
    chance = random.Random(20)
    promised: list[list[int]] = []
    for _ in range(CUTS):
        after = chance.randint(3, 7)
        results = boot_and_cut_power(
            kernel,
            initramfs(kernel, promised, write=True),
            disks=[disk],
            after=after,
            delay_s=chance.random(),
            timeout_s=300,
        )
        check(dict(results))
        promised += [value for name, value in results if name == "batch"]
    outcome = boot(kernel, initramfs(kernel, promised, write=False), disks=[disk], timeout_s=300)
    assert check(outcome.results) >= sum(count for _, count, _ in promised) > CUTS
