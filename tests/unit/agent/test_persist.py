# SPDX-License-Identifier: MIT
"""Persist: found, waited for, checked, mounted, grown; and never replaced in silence."""

from __future__ import annotations

import os
from typing import Any

import pytest

from powernode.agent.persist import Persist, open_persist
from powernode.agent.report import Report
from powernode.base.errors import MachineError
from powernode.wire.nodeconfig import PersistConfig
from unit.agent._node import Node
from unit.linux._superblocks import UUID, ext4, fat32


def opened(node: Node, **settings: Any) -> Persist:
    report = Report(clock=node.clock, say=node.console.append)
    persist = open_persist(
        PersistConfig(**settings), node.paths, node.kernel, report, clock=node.clock, sleep=node.sleep
    )
    node.document = report.document("test")
    return persist


def test_found_and_mounted(node: Node) -> None:
    persist = opened(node)
    assert (persist.kind, persist.device, persist.written_s) == ("ext4", node.paths.at("/dev/vda2"), 1_700_000_000)
    assert node.mounted() == {"/persist": "ext4 /dev/vda2"}
    assert node.document["persist"]["uuid"] == UUID
    assert node.document["persist"]["clean"] is True


def test_waited_for(node: Node) -> None:
    os.rename(node.root / "dev/vda2", node.root / "dev/later")
    before, waited = node.now_s, node.sleep

    def sleep(seconds: float) -> None:
        waited(seconds)
        if node.now_s - before > 1:
            os.rename(node.root / "dev/later", node.root / "dev/vda2")

    node.sleep = sleep  # type: ignore[method-assign]
    assert opened(node).kind == "ext4"
    assert 1 < node.now_s - before < 1.5


def test_not_waited_for_longer_than_allowed(node: Node) -> None:
    os.unlink(node.root / "dev/vda2")
    before = node.now_s
    persist = opened(node, wait_s=3)
    assert persist.kind == "none"
    assert persist.refusal is not None
    assert persist.refusal.code == "persist.missing"
    assert 3 <= node.now_s - before < 3.5
    assert node.mounted() == {}


def test_memory_only_where_it_is_allowed_and_loudly(node: Node) -> None:
    os.unlink(node.root / "dev/vda2")
    assert opened(node, wait_s=0, tmpfs_fallback=True).kind == "tmpfs"
    assert node.warnings() == ["persist.tmpfs"]
    assert any("LOST" in line for line in node.console)


def unmountable(node: Node) -> None:
    refusal = MachineError("linux.mount.failed", "cannot mount", found="Structure needs cleaning")
    node.kernel.failures["mount_disk", node.paths.at("/dev/vda2")] = refusal


def two_of_them(node: Node) -> None:
    node.disk("sda1", ext4())


def a_fat_one(node: Node) -> None:
    node.disk("vda2", fat32("PERSIST"))


def damaged(node: Node) -> None:
    node.disk("vda2", ext4(state=2))
    node.write("usr/sbin/e2fsck", b"")
    os.chmod(node.root / "usr/sbin/e2fsck", 0o755)
    node.kernel.fsck = (4, "UNEXPECTED INCONSISTENCY")


@pytest.mark.parametrize(
    ("spoil", "label", "code"),
    [
        (unmountable, "persist", "persist.unmountable"),
        (two_of_them, "persist", "persist.ambiguous"),
        (a_fat_one, "PERSIST", "persist.filesystem"),
        (damaged, "persist", "persist.damaged"),
    ],
)
def test_a_disk_that_is_there_is_never_replaced_by_memory(node: Node, spoil: Any, label: str, code: str) -> None:
    spoil(node)
    persist = opened(node, label=label, tmpfs_fallback=True, wait_s=0)
    assert persist.kind == "none"
    assert node.codes() == [("persist", code)]
    assert node.mounted() == {}
    assert not any(line.startswith("mount_tmpfs") for line in node.kernel.log)


@pytest.mark.parametrize(
    ("superblock", "due"),
    [
        (ext4(), False),
        (ext4(state=0), True),
        (ext4(state=3), True),
        (ext4(mounts=19, mounts_max=20), False),
        (ext4(mounts=20, mounts_max=20), True),
        (ext4(mounts=50, mounts_max=-1), False),
    ],
)
@pytest.mark.parametrize("allowed", [True, False])
def test_checked_when_the_superblock_asks_for_it(node: Node, superblock: bytes, due: bool, allowed: bool) -> None:
    node.disk("vda2", superblock)
    node.write("usr/sbin/e2fsck", b"")
    os.chmod(node.root / "usr/sbin/e2fsck", 0o755)
    node.kernel.fsck = (1, "fixed")
    assert opened(node, check=allowed).kind == "ext4"
    assert any(line.startswith("check_disk") for line in node.kernel.log) == (due and allowed)
    assert node.document["persist"].get("e2fsck") == (1 if due and allowed else None)


def test_no_tool_to_check_with(node: Node) -> None:
    node.disk("vda2", ext4(state=0))
    assert opened(node).kind == "ext4"
    assert node.warnings() == ["persist.unchecked"]


@pytest.mark.parametrize(
    ("device", "filesystem", "allowed", "blocks"),
    [
        (64 << 20, 64 << 20, True, None),
        (128 << 20, 64 << 20, True, 32768),
        (128 << 20, 64 << 20, False, None),
        (32 << 20, 64 << 20, True, None),
    ],
)
def test_grown_never_shrunk(node: Node, device: int, filesystem: int, allowed: bool, blocks: int | None) -> None:
    node.disk("vda2", ext4(size=filesystem), size=device)
    assert opened(node, grow=allowed).kind == "ext4"
    assert [line for line in node.kernel.log if line.startswith("grow")] == ([f"grow {blocks}"] if blocks else [])


def test_a_filesystem_that_will_not_grow_is_still_used(node: Node) -> None:
    node.disk("vda2", ext4(size=32 << 20))
    node.kernel.failures["grow", str((64 << 20) // 4096)] = MachineError("linux.ext4.unsupported", "no", found="x")
    assert opened(node).kind == "ext4"
    assert node.warnings() == ["linux.ext4.unsupported"]
