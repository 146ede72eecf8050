# SPDX-License-Identifier: MIT
"""A machine that loses power while it changes names durably: what was done is there, what was not is old, all whole."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from vm._vm import boot, boot_and_cut_power, make_ext4
from vm._vm_kernel import Kernel
from vm.conftest import guest

CUTS = int(os.environ.get("POWERNODE_POWER_CUTS", "2"))


def check(state: dict[str, Any] | None, done: int) -> None:
    """`done` is the last round the guest had finished before its power was cut."""
    if state is None:
        assert done == 0
        return
    good, attempts = state["good"], state["attempts"]
    assert good in (done, done + 1)
    assert attempts in (good, good - 1)
    assert attempts >= done
    assert set(state["temporary"]) <= {".attempts.tmp", ".good.tmp", f".{done + 1:064x}.json.tmp"}
    assert set(state["sets"]) <= {done - 1, done, done + 1}


def test_power_cuts_while_names_change(kernel: Kernel, tmp_path: Path) -> None:
    disk = make_ext4(tmp_path / "disk.img", size_mib=64, verity=True)
    chance = random.Random(21)
    done = 0
    for _ in range(CUTS):
        results = boot_and_cut_power(
            kernel,
            guest(kernel, "_guest_durable.py", {"write": b""}),
            disks=[disk],
            after=chance.randint(4, 40),
            delay_s=chance.random() / 10,
            timeout_s=300,
        )
        check(dict(results)["state"], done)
        finished = [value for name, value in results if name == "done"]
        assert finished[-1] > done
        done = finished[-1]
    outcome = boot(kernel, guest(kernel, "_guest_durable.py", {}), disks=[disk], timeout_s=300)
    check(outcome.results["state"], done)
