# SPDX-License-Identifier: MIT
"""Somebody had the disk while the machine was off: nothing it finds there makes the agent wait, follow or obey."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.cli.agent.boot import _to_console
from powernode.linux.files import read_regular
from unit.agent._node import BIG, Node


class HangError(BaseException):
    """Nothing of ours catches this."""


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    def end(*_: object) -> NoReturn:
        raise HangError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


THINGS = [a_fifo, a_directory, a_link_to_a_device]


@pytest.mark.parametrize("put", THINGS)
def test_only_ordinary_files_are_read(folder: Path, put: Callable[[Path], None]) -> None:
    put(folder / "thing")
    with pytest.raises(OSError, match="thing"):
        read_regular(str(folder / "thing"), 10)
    (folder / "file").write_bytes(b"0123456789")
    assert read_regular(str(folder / "file"), 4) == b"0123"


def the_set(node: Node, pending: str, new: Digest) -> str:
    return f"{node.store.sets}/{pending}.json"


def its_attempts(node: Node, pending: str, new: Digest) -> str:
    return f"{node.store.sets}/pending.attempts"


def the_next_attempts(node: Node, pending: str, new: Digest) -> str:
    return f"{node.store.sets}/.pending.attempts.tmp"


def its_image(node: Node, pending: str, new: Digest) -> str:
    return str(node.store.image(new.hex))


def an_object(node: Node, pending: str, new: Digest) -> str:
    names = [path for path in Path(node.store.objects).rglob("*") if path.is_file() and b"new" in path.read_bytes()]
    return str(names[0])


PLACES = [the_set, its_attempts, the_next_attempts, its_image, an_object]


@pytest.mark.parametrize("put", THINGS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("floor", ["kernel-verity", "userspace"])
def test_in_the_place_of_a_file_of_the_pending_set(
    node: Node, floor: str, place: Callable[[Node, str, Digest], str], put: Callable[[Path], None]
) -> None:
    node.configure(enforcement={"floor": floor})
    node.kernel.can_seal = floor == "kernel-verity"
    node.kernel.level = floor
    node.good(node.boot_set(node.root_image("old")))
    new = node.root_image("new")
    path = Path(place(node, node.pending(node.boot_set(new, serial=2)), new))
    path.unlink(missing_ok=True)
    put(path)
    assert node.boot().kind == "booted"
    assert node.running() == "old"
    assert [what for what, _ in node.codes()] == ["pending"]


@pytest.mark.parametrize("put", THINGS)
def test_in_the_place_of_a_stamp(node: Node, put: Callable[[Path], None]) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    stamp = Path(node.store.stamp(root.hex))
    stamp.parent.mkdir()
    put(stamp)
    booted = node.boot().kind == "booted"
    assert booted or node.codes() == [("good", "durable.failed")]
    assert booted != stamp.is_dir()


def test_an_image_too_large_to_hash(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    os.truncate(node.store.image(root.hex), 1 << 40)
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.image-size")]
    assert not [line for line in node.kernel.log if line.startswith("seal")]


@pytest.mark.parametrize("link", ["lib", "lib/powernode", "lib/powernode/modules"])
def test_links_in_var_lead_no_mount_over_the_root(node: Node, link: str) -> None:
    """The upper layer of /var is not verified, and it is the same layer under every set."""
    module = node.image("nginx", {"usr/sbin/nginx": b"x" * BIG})
    node.good(node.boot_set(node.root_image(), modules={"nginx": module}))

    def plant(target: str) -> None:
        if target.endswith("/sysroot/var"):
            path = Path(target) / link
            path.parent.mkdir(parents=True, exist_ok=True)
            path.rmdir() if path.is_dir() else None
            path.symlink_to("/sysroot/etc" if link.endswith("modules") else f"{node.root}/sysroot/etc")

    node.kernel.after_mount = plant
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.link")]
    assert node.mounted() == {"/persist": "ext4 /dev/vda2"}


@pytest.mark.parametrize("policy", ["ro", "persistent"])
def test_links_on_persist_lead_no_layer_elsewhere(node: Node, policy: str) -> None:
    root = node.root_image()
    node.good(node.boot_set(root, policy=policy))
    layer = node.root / "persist" / ("var-upper" if policy == "ro" else f"root/{root.hex}")
    layer.mkdir(parents=True)
    (layer / "upper").symlink_to(node.root / "etc")
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.link")]


def test_a_root_whose_changes_are_kept_is_told_to_be_unverified(node: Node) -> None:
    node.good(node.boot_set(node.root_image(), policy="persistent"))
    assert node.boot().kind == "booted"
    assert node.warnings() == ["boot.unverified"]


def test_nobody_writes_on_the_console_through_us(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.pending(node.boot_set(node.root_image("new")))
    node.kernel.failures["seal", "1"] = DataError("x.y", "a\x1b[2Jb", found="c\nd\x07\u202e\udcff")
    node.write("proc/cmdline", b"powernode.\xff=1 powernode.\x1b[2J=2\n")
    node.boot()
    assert ("pending", "x.y") in node.codes()
    assert "powernode: refused pending: x.y: a?[2Jb" in node.console
    assert "powernode:   found: c d???" in node.console
    assert all(line.isprintable() for line in node.console)
    assert node.document["refused"][0]["found"] == "c d???"


def test_a_key_that_is_no_text_does_not_cost_the_report(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.write("proc/cmdline", b"powernode.\xff=1\n")
    assert node.boot().kind == "booted"
    assert node.warnings()[0] == "boot.cmdline"
    assert os.path.exists(node.paths.boot_report)


def test_a_console_that_has_gone_does_not_cost_the_boot(capfd: pytest.CaptureFixture[str]) -> None:
    _to_console("powernode: \udcff")
    assert capfd.readouterr().out == "powernode: ?\n"
    kept = os.dup(1)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    try:
        _to_console("nobody reads this")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(full)
