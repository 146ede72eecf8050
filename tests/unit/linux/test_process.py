# SPDX-License-Identifier: MIT
"""Programs run for a limited time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from powernode.base.errors import MachineError
from powernode.linux.process import run

SH = "/bin/sh"


def test_exit_status() -> None:
    assert run([SH, "-c", "exit 3"], 10) == 3


def test_signal() -> None:
    assert run([SH, "-c", "kill -TERM $$"], 10) == -15


def test_says_nothing_and_hears_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    os.environ["POWERNODE_TEST_LEAK"] = "1"
    try:
        script = f'echo out; echo err >&2; cat; echo "leak=$POWERNODE_TEST_LEAK" > {tmp_path}/said'
        assert run([SH, "-c", script], 10) == 0
    finally:
        del os.environ["POWERNODE_TEST_LEAK"]
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "said").read_text() == "leak=\n"


def test_time_is_up_for_the_children_too(tmp_path: Path) -> None:
    late = tmp_path / "late"
    before = time.monotonic()
    assert run([SH, "-c", f"(sleep 0.5; touch {late}) & sleep 60"], 0.1) is None
    assert time.monotonic() - before < 10
    time.sleep(0.6)
    assert not late.exists()


def test_no_such_program() -> None:
    with pytest.raises(MachineError) as refusal:
        run(["/nowhere/busybox"], 1)
    assert refusal.value.code == "linux.process.spawn"
