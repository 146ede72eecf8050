# SPDX-License-Identifier: MIT
"""The whole boot with sets, images and objects that somebody changed or lost: what runs instead, and what it says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.base.digest import Digest
from powernode.composefs.image import objects
from unit.agent._node import Node

ONLY_PERSIST = {"/persist": "ext4 /dev/vda2"}


def object_of(node: Node, image: Digest, number: int = 0) -> Path:
    """One of the objects an image needs."""
    data = Path(node.store.image(image.hex)).read_bytes()
    return Path(node.store.objects) / objects(data)[number].decode()


def damage_attempts(node: Node) -> None:
    (Path(node.store.sets) / "pending.attempts").write_text("many\n")


def damage_pointer(node: Node) -> None:
    os.unlink(f"{node.store.sets}/pending")
    os.symlink("../../../../etc/passwd", f"{node.store.sets}/pending")


def damage_envelope(node: Node) -> None:
    path = Path(node.store.sets) / os.readlink(f"{node.store.sets}/pending")
    path.write_bytes(path.read_bytes() + b" ")


def lose_envelope(node: Node) -> None:
    os.unlink(f"{node.store.sets}/{os.readlink(f'{node.store.sets}/pending')}")


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (damage_attempts, "agent.sets.attempts"),
        (damage_pointer, "agent.sets.pointer"),
        (damage_envelope, "agent.sets.content"),
        (lose_envelope, "agent.sets.missing"),
    ],
)
def test_damaged_pending_falls_back(node: Node, damage: Callable[[Node], None], code: str) -> None:
    node.good(node.boot_set(node.root_image("old")))
    node.pending(node.boot_set(node.root_image("new"), serial=2))
    damage(node)
    assert node.boot().kind == "booted"
    assert node.running() == "old"
    assert node.codes() == [("pending", code)]


def replace_object(node: Node, root: Digest) -> None:
    path = object_of(node, root)
    path.write_bytes(b"evil".ljust(path.stat().st_size, b"!"))


def lose_object(node: Node, root: Digest) -> None:
    object_of(node, root).unlink()


def change_image(node: Node, root: Digest) -> None:
    path = Path(node.store.image(root.hex))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut_image(node: Node, root: Digest) -> None:
    path = Path(node.store.image(root.hex))
    path.write_bytes(path.read_bytes()[:4096])


def lose_image(node: Node, root: Digest) -> None:
    os.unlink(node.store.image(root.hex))


DAMAGES = [
    (replace_object, "boot.object-digest"),
    (lose_object, "boot.object-missing"),
    (change_image, "boot.image-digest"),
    (cut_image, "boot.image-digest"),
    (lose_image, "boot.image-missing"),
]


@pytest.mark.parametrize(("damage", "code"), DAMAGES)
@pytest.mark.parametrize("floor", ["kernel-verity", "userspace"])
def test_tampered_sets_fall_back_to_the_good_one(
    node: Node, damage: Callable[[Node, Digest], None], code: str, floor: str
) -> None:
    if floor == "userspace":
        node.kernel.can_seal = False
        node.kernel.level = "userspace"
    node.configure(enforcement={"floor": floor})
    node.good(node.boot_set(node.root_image("old")))
    root = node.root_image("new")
    node.pending(node.boot_set(root, serial=2))
    damage(node, root)
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", code)]
    assert node.running() == "old"


@pytest.mark.parametrize(("damage", "code"), DAMAGES)
def test_with_nothing_else_nothing_is_mounted(node: Node, damage: Callable[[Node, Digest], None], code: str) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    damage(node, root)
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", code)]
    assert node.mounted() == ONLY_PERSIST
    assert os.listdir(node.root / "sysroot") == []


def test_a_damaged_object_under_a_stamp_is_found_with_full_preflight(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    node.boot()
    node.restart()
    lose_object(node, root)
    assert node.boot().kind == "booted"  # reading that one file fails; the kernel sees to it
    node.restart()
    node.configure(preflight="full")
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.object-missing")]


def test_without_enforcement_everything_is_read_at_every_boot(node: Node) -> None:
    node.kernel.can_seal = False
    node.kernel.level = "userspace"
    node.configure(enforcement={"floor": "userspace"})
    root = node.root_image()
    node.good(node.boot_set(root))
    assert node.boot().kind == "booted"
    assert not os.path.exists(node.store.stamp(root.hex))
    node.restart()
    replace_object(node, root)
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.object-digest")]


def test_only_reading_finds_blocks_that_were_changed_under_a_seal(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    node.boot()
    node.restart()
    node.kernel.flip(object_of(node, root))
    assert node.boot().kind == "booted"  # the kernel refuses the reads
    node.restart()
    node.configure(preflight="full")
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.object-digest")]
