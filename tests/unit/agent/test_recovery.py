# SPDX-License-Identifier: MIT
"""Nothing boots: the screen says everything, on every console, and the machine starts again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from powernode.agent.recovery import Recovery, consoles, screen
from powernode.agent.report import Report
from powernode.base.errors import DataError
from unit.agent._node import INSTANCE, OTHER_PRIVATE, Node


def refused(node: Node) -> str:
    """A node whose only set is signed by somebody else, and what it shows."""
    node.cmdline(f"powernode.instance_uuid={INSTANCE}")
    set_id = node.good(node.boot_set(node.root_image()), OTHER_PRIVATE)
    assert node.boot().kind == "nothing"
    return set_id


def test_the_screen_says_who_and_what_and_why(node: Node) -> None:
    set_id = refused(node)
    text = screen(node.document, seconds=60, shell=False)
    assert f"instance_uuid: {INSTANCE}  (from cmdline)" in text
    assert f"good {set_id[:12]}: trust.dsse.signature" in text
    assert "expected: a signature by" in text
    assert "restarts in 60 s" in text
    assert "shell" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "for a shell" in screen(node.document, seconds=60, shell=True)


def test_it_needs_nothing() -> None:
    text = screen({}, seconds=5, shell=False)
    assert "Who it is: not found out yet" in text
    assert "there is no set to boot" in text


def test_what_was_found_cannot_move_the_cursor() -> None:
    report = Report(clock=lambda: 1.0, say=lambda line: None)
    report.refuse("good", DataError("x.y", "evil\x1b[2J\x9b name", found="\x07"))
    text = screen(report.document("nothing"), seconds=5, shell=False)
    assert not {"\x1b", "\x9b", "\x07"} & set(text)


@pytest.mark.parametrize(
    ("active", "there", "shown"),
    [
        ("ttyS0\n", ["ttyS0", "tty1"], ["ttyS0", "tty1"]),
        ("tty0 ttyAMA0\n", ["tty0", "tty1", "ttyAMA0"], ["tty1", "ttyAMA0"]),
        ("ttyS0\n", ["ttyS0"], ["ttyS0"]),
        ("../../etc/passwd ttyS1\n", ["ttyS1"], ["ttyS1"]),
        (None, ["console"], ["console"]),
    ],
)
def test_consoles(node: Node, active: str | None, there: list[str], shown: list[str]) -> None:
    if active is not None:
        node.write("sys/class/tty/console/active", active.encode())
    for name in there:
        node.write(f"dev/{name}", b"")
    found = consoles(node.paths.sys, node.paths.dev)
    assert [os.path.basename(path) for path in found] == shown


def run(node: Node, *, seconds: int, shell: bool = False, keys: list[bool] | None = None) -> list[str]:
    """What happened until the machine restarted."""
    node.write("sys/class/tty/console/active", b"ttyS0\n")
    node.write("dev/ttyS0", b"")
    happened: list[str] = []

    def wait_key(seconds: float) -> bool:
        node.sleep(seconds)
        return keys.pop(0) if keys else False

    recovery = Recovery(
        node.paths, node.kernel, sleep=node.sleep, wait_key=wait_key, run_shell=lambda: happened.append("shell")
    )
    recovery.run("SCREEN\n", seconds=seconds, shell=shell)
    assert node.kernel.restarted
    return happened


def test_it_counts_down_and_restarts(node: Node) -> None:
    before = node.now_s
    assert run(node, seconds=25) == []
    assert 25 <= node.now_s - before < 26
    written = (node.root / "dev/ttyS0").read_bytes()
    assert b"restarting" in written


def test_no_wait(node: Node) -> None:
    before = node.now_s
    run(node, seconds=0)
    assert node.now_s - before < 1


def test_a_shell_only_where_it_is_allowed(node: Node) -> None:
    assert run(node, seconds=30, shell=True, keys=[False, True]) == ["shell"]
    assert run(node, seconds=30, shell=True, keys=[]) == []
    assert run(node, seconds=30, shell=False, keys=[True]) == []


def test_the_report_survives_the_restart(node: Node) -> None:
    refused(node)
    Recovery(node.paths, node.kernel, sleep=node.sleep).keep(node.document)
    for path in (node.paths.boot_report, f"{node.store.state}/last-recovery.json"):
        kept = json.loads(Path(path).read_text())
        assert (kept["outcome"], kept["refused"][0]["code"]) == ("nothing", "trust.dsse.signature")
