# SPDX-License-Identifier: MIT
"""The whole boot: who may run what and when, and what is looked at before the point of no return."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from powernode.base.errors import MachineError
from unit.agent._elf_files import elf
from unit.agent._node import BIG, INSTANCE, NOW, OTHER_PRIVATE, Node
from unit.linux._superblocks import ext4

ONLY_PERSIST = {"/persist": "ext4 /dev/vda2"}


@pytest.mark.parametrize(
    ("terms", "key", "code"),
    [
        ({}, OTHER_PRIVATE, "trust.dsse.signature"),
        ({"not_after": NOW - 1}, None, "trust.set.expired"),
        ({"instance": "00000000-0000-4000-8000-000000000000"}, None, "trust.set.other-instance"),
    ],
)
def test_sets_that_may_not_run_here(node: Node, terms: dict[str, Any], key: bytes | None, code: str) -> None:
    node.good(node.boot_set(node.root_image("old"), instance=INSTANCE, not_after=NOW + 1))
    boot_set = node.boot_set(node.root_image("new"), serial=2, **terms)
    node.pending(boot_set, key) if key else node.pending(boot_set)
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", code)]
    assert node.running() == "old"


def test_the_terms_of_the_base_count_too(node: Node) -> None:
    node.base(node.boot_set(node.root_image(), instance="00000000-0000-4000-8000-000000000000"))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("base", "trust.set.other-instance")]


@pytest.mark.parametrize("written_s", [0, NOW + 1, 0xFFFFFFFF])
def test_no_date_on_the_disk_makes_an_expired_set_run(node: Node, written_s: int) -> None:
    node.good(node.boot_set(node.root_image(), not_after=NOW - 1))
    node.disk("vda2", ext4(written_s=written_s))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "trust.set.expired")]
    assert node.document["clock"] == {"now_s": NOW, "not_before_s": written_s, "pinned_root": None}


def test_a_set_that_was_over_when_the_disk_was_last_written_stays_over(node: Node) -> None:
    """With a clock that somebody, or an empty battery, has set back."""
    node.good(node.boot_set(node.root_image(), not_after=NOW + 1))
    node.disk("vda2", ext4(written_s=NOW + 2))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "trust.set.expired")]


def test_without_a_key_no_set_is_believed_but_the_base(node: Node) -> None:
    node.write("etc/powernode/fleet-root.pem", b"")
    root = node.root_image()
    node.good(node.boot_set(root))
    base = node.base(node.boot_set(root, serial=0))
    assert node.boot().kind == "booted"
    assert node.codes() == [("good", "trust.dsse.no-keys")]
    assert (node.document["root"]["kind"], node.document["root"]["set"]) == ("base", base)


def test_with_damaged_keys_too(node: Node) -> None:
    node.write("etc/powernode/fleet-root.pem", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    root = node.root_image()
    node.good(node.boot_set(root))
    node.base(node.boot_set(root, serial=0))
    assert node.boot().kind == "booted"
    assert [what for what, _ in node.codes()] == ["keys", "good"]
    assert node.codes()[0][1].startswith("trust.")
    assert node.document["root"]["kind"] == "base"


def test_the_digest_on_the_command_line_decides(node: Node) -> None:
    old, new = node.root_image("old"), node.root_image("new")
    node.good(node.boot_set(old))
    node.pending(node.boot_set(new, serial=2))
    node.cmdline(f"powernode.root_digest={old.hex}")
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", "boot.root-digest")]
    assert node.running() == "old"
    node.restart()
    node.cmdline(f"powernode.root_digest=sha256:{'0' * 64}")
    assert node.boot().kind == "nothing"
    assert node.codes() == [("pending", "boot.root-digest"), ("good", "boot.root-digest")]


@pytest.mark.parametrize(
    ("cmdline", "code"),
    [
        ("powernode.root_digest=zz", "digest.text"),
        (f"powernode.root_digest={'0' * 64} powernode.root_digest={'1' * 64}", "linux.cmdline.conflict"),
    ],
)
def test_a_digest_that_cannot_be_read_boots_nothing(node: Node, cmdline: str, code: str) -> None:
    node.good(node.boot_set(node.root_image()))
    node.cmdline(cmdline)
    assert node.boot().kind == "nothing"
    assert node.codes() == [("boot", code)]
    assert node.mounted() == ONLY_PERSIST


def test_enforcement_below_the_floor(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.kernel.level = "none"
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.enforcement")]
    assert node.mounted() == ONLY_PERSIST


def test_a_filesystem_without_verity(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.disk("vda2", ext4(verity=False))
    node.kernel.can_seal = False
    assert node.boot().kind == "nothing"
    assert node.warnings() == ["persist.no-verity"]
    assert node.codes() == [("good", "boot.enforcement")]
    node.restart()
    node.kernel.level = "userspace"
    node.configure(enforcement={"floor": "userspace"})
    assert node.boot().kind == "booted"
    assert node.document["root"]["enforcement"] == "userspace"


def no_init(node: Node, target: str) -> None:
    os.unlink(f"{target}/sbin/init")


def no_library(node: Node, target: str) -> None:
    os.unlink(f"{target}/lib/x86_64-linux-gnu/libc.so.6")


def other_machine(node: Node, target: str) -> None:
    Path(f"{target}/sbin/init").write_bytes(elf(machine=183))


def no_folder(node: Node, target: str) -> None:
    os.rmdir(f"{target}/proc")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (no_init, "boot.preflight-missing"),
        (no_library, "boot.preflight-missing"),
        (other_machine, "boot.preflight-arch"),
        (no_folder, "boot.preflight-folder"),
    ],
)
def test_preflight_refuses_before_the_point_of_no_return(
    node: Node, spoil: Callable[[Node, str], None], code: str
) -> None:
    node.good(node.boot_set(node.root_image()))
    node.kernel.after_mount = lambda target: spoil(node, target) if target.endswith("/sysroot") else None
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", code)]
    assert node.mounted() == ONLY_PERSIST


def test_a_fault_of_the_agent_does_not_stop_the_next_candidate(node: Node) -> None:
    node.good(node.boot_set(node.root_image("old")))
    broken = node.root_image("new")
    node.pending(node.boot_set(broken, serial=2))
    del node.kernel.trees[broken.value]  # a KeyError in the middle of mounting
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", "boot.internal")]
    assert "KeyError" in node.document["refused"][0]["found"]
    assert node.running() == "old"


MOUNTS = (
    "mount_image /sysroot",
    "mount_image /sysroot/var",
    "mount_tmpfs /sysroot/var/lib/powernode/modules",
    "mount_image /sysroot/var/lib/powernode/modules/m",
    "bind /sysroot/persist",
    "move /persist",
    "move /run",
    "move /dev",
    "move /sys",
    "move /proc",
)


@pytest.mark.parametrize("step", MOUNTS)
def test_whatever_step_fails_everything_is_taken_back(node: Node, step: str) -> None:
    action, what = step.split()
    node.kernel.failures[action, node.paths.at(what)] = MachineError("test.fails", "as the test wants it")
    node.good(node.boot_set(node.root_image(), modules={"m": node.image("m", {"m": b"m" * BIG})}))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "test.fails")]
    after = {target: what for target, what in node.mounted().items() if not what.startswith("moved")}
    assert after == ONLY_PERSIST
    assert "root" not in node.document
