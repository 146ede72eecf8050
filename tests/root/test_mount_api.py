# SPDX-License-Identifier: MIT
"""The mount API and loop devices on the running kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from powernode.base.errors import MachineError
from powernode.linux import loop
from powernode.linux.mount import (
    ATTR_NODEV,
    ATTR_RDONLY,
    FsContext,
    clone_tree,
    move_mount,
    open_tree,
    set_attributes,
    unmount,
)
from root.conftest import Privately, loops, mounts


def tmpfs(attributes: int = 0) -> int:
    with FsContext("tmpfs") as context:
        context.set_string("size", "1M")
        return context.mount(attributes)


def test_a_mount_has_no_place_until_it_is_moved(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        before = mounts()
        tree = tmpfs(ATTR_RDONLY | ATTR_NODEV)
        assert mounts() == before
        move_mount(tree, tmp_path)
        os.close(tree)
        (line,) = set(mounts()) - set(before)
        assert f" {tmp_path} ro,nodev," in line
        unmount(tmp_path)
        assert mounts() == before

    privately(body)


def test_attributes_can_be_changed(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        move_mount(tree := tmpfs(), tmp_path)
        os.close(tree)
        tree = open_tree(tmp_path)
        set_attributes(tree, add=ATTR_RDONLY)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "x").touch()
        set_attributes(tree, remove=ATTR_RDONLY)
        os.close(tree)
        (tmp_path / "x").touch()

    privately(body)


def test_clone_is_a_second_view(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        (tmp_path / "one" / "file").touch()
        tree = clone_tree(tmp_path / "one")
        move_mount(tree, tmp_path / "two")
        os.close(tree)
        assert os.listdir(tmp_path / "two") == ["file"]

    privately(body)


def test_swap_beneath_never_leaves_the_place_empty(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        move_mount(old := tmpfs(), tmp_path)
        (tmp_path / "old").touch()
        new = tmpfs()
        try:
            move_mount(new, tmp_path, beneath=True)
        except MachineError as error:
            if error.code != "linux.mount.failed":
                raise
            pytest.skip(f"this kernel is older than 6.5 and cannot mount beneath: {error.found}")
        assert os.listdir(tmp_path) == ["old"]
        unmount(tmp_path, detach=True)
        assert os.listdir(tmp_path) == []
        (tmp_path / "new").touch()
        os.close(old)
        os.close(new)

    privately(body)


def test_refusals_say_what_the_kernel_says(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        with pytest.raises(MachineError) as caught:
            FsContext("no-such-filesystem")
        assert caught.value.code == "linux.mount.no-filesystem"
        with FsContext("tmpfs") as context, pytest.raises(MachineError) as caught:
            context.set_string("no-such-option", "1")
        assert caught.value.code == "linux.mount.option"
        assert "Unknown parameter 'no-such-option'" in str(caught.value.found)
        tree = tmpfs()
        with pytest.raises(MachineError) as caught:
            move_mount(tree, tmp_path / "nowhere")
        os.close(tree)
        assert caught.value.code == "linux.mount.no-target"
        with pytest.raises(MachineError) as caught:
            unmount(tmp_path)
        assert caught.value.code == "linux.mount.failed"
        with pytest.raises(MachineError) as caught:
            open_tree(tmp_path / "nowhere")
        assert caught.value.code == "linux.mount.no-target"

    privately(body)


def test_busy_mount(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        tree = tmpfs()
        move_mount(tree, tmp_path)
        os.close(tree)
        with open(tmp_path / "file", "w"), pytest.raises(MachineError) as caught:
            unmount(tmp_path)
        assert caught.value.code == "linux.mount.busy"
        unmount(tmp_path)

    privately(body)


def test_loop_device_reads_the_file_and_goes_away(privately: Privately, tmp_path: Path) -> None:
    def body() -> None:
        data = os.urandom(8192)
        (tmp_path / "image").write_bytes(data)
        before = loops(tmp_path)
        with open(tmp_path / "image", "rb") as image:
            try:
                device = loop.attach(image.fileno(), name="image")
            except MachineError as error:
                pytest.skip(f"no loop devices here: {error}")
        (name,) = loops(tmp_path) - before
        assert device.path == f"/dev/{name}"
        assert os.pread(device.fd, 8192, 0) == data
        assert Path(f"/sys/block/{name}/ro").read_text() == "1\n"
        os.close(device.fd)
        assert loops(tmp_path) == before

    privately(body)


def test_loop_refuses_what_is_no_file(privately: Privately) -> None:
    def body() -> None:
        reading, writing = os.pipe()
        with pytest.raises(MachineError) as caught:
            loop.attach(reading)
        assert caught.value.code in ("linux.loop.too-old", "linux.loop.none")
        os.close(reading)
        os.close(writing)

    privately(body)
