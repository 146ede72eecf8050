# SPDX-License-Identifier: MIT
"""Boards: the ones that are there can be read, mistakes in one are refused with their place."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.image import board, fdt

TEXT = """version = 1
name = "x"
summary = "a board"
[arm64]
kernel = "kernel-cloud"
consoles = ["ttyS0"]
[arm64.emulation]
machine = "virt"
memory_mib = 512
disk = "virtio-blk-pci"
network = "virtio-net-pci"
fw_cfg = true
"""


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/board.toml").write_text(text)
    return tmp_path


def test_every_board_can_be_read() -> None:
    assert board.names(board.FOLDER) == ["qemu", "rpi4"]
    for name in board.names(board.FOLDER):
        for arch, target in board.read(board.FOLDER, name).targets.items():
            assert (target.board, target.arch) == (name, arch)


def test_no_amd64_guest_has_cmpxchg16b() -> None:
    for name in board.names(board.FOLDER):
        for target in board.read(board.FOLDER, name).targets.values():
            assert target.arch != "amd64" or (target.emulation.cpu or "").endswith(",-cx16")


def test_arguments_of_the_kernel(tmp_path: Path) -> None:
    target = board.read(written(tmp_path, TEXT), "x").target("arm64")
    assert target.kernel_arguments == ("console=ttyS0",)
    assert target.emulation.kernel_arguments == ()
    assert (target.emulation.cpu, target.dtb) == (None, None)


def test_the_console_of_an_emulated_pi_is_the_one_that_qemu_has() -> None:
    target = board.read(board.FOLDER, "rpi4").target("arm64")
    consoles = [word for word in target.emulation.kernel_arguments if word.startswith("console=")]
    assert consoles[-1] == "console=ttyAMA0,115200"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("version = 1", "version = 2", "image.board.value"),
        ('name = "x"', 'name = "y"', "image.board.name"),
        ("fw_cfg = true", "fw_cfg = 1", "image.board.type"),
        ("fw_cfg = true", "", "image.board.missing"),
        ("memory_mib = 512", "memory_mib = 1", "image.board.value"),
        ("memory_mib = 512", "memory_mib = 512\nmemory = 1", "image.board.unknown-key"),
        ("summary =", "sparc = {}\nsummary =", "image.board.unknown-key"),
        ("[arm64]", "[arm64", "image.board.syntax"),
    ],
)
def test_a_mistake_is_refused(tmp_path: Path, old: str, new: str, code: str) -> None:
    with pytest.raises(PowernodeError) as refused:
        board.read(written(tmp_path, TEXT.replace(old, new, 1)), "x")
    assert refused.value.code == code


def test_an_unknown_board_or_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as refused:
        board.read(written(tmp_path, TEXT), "y")
    assert (refused.value.code, refused.value.expected) == ("image.board.unknown", "x")
    with pytest.raises(OperatorError) as refused:
        board.read(tmp_path, "x").target("amd64")
    assert (refused.value.code, refused.value.expected) == ("image.board.arch", "arm64")


def words(*numbers: int) -> bytes:
    return b"".join(struct.pack(">I", number) for number in numbers)


def device_tree(strings: bytes = b"reg\0status\0", status_at: int = 4) -> bytes:
    """/ { reg; soc { hdmi@1 { status = "okay"; reg; }; i2c@2 {}; }; }"""
    reg = words(3, 4, 0, 7)
    okay = words(3, 5, status_at) + b"okay\0\0\0\0"
    tree = words(1, 0) + reg + words(1) + b"soc\0" + words(1) + b"hdmi@1\0\0" + okay + reg + words(2)
    tree += words(1) + b"i2c@2\0\0\0" + words(4, 2, 2, 2, 9)
    reserved = words(0, 4096, 0, 8192) + bytes(16)
    at = 40 + len(reserved)
    total = at + len(tree) + len(strings)
    return (
        words(0xD00DFEED, total, at, at + len(tree), 40, 17, 16, 3, len(strings), len(tree)) + reserved + tree + strings
    )


def test_a_node_is_switched_off_and_nothing_else_changes() -> None:
    blob = fdt.disable(device_tree(), ["/soc/hdmi@1", "/soc/i2c@2"])
    disabled = words(3, 9, 4) + b"disabled\0\0\0\0"
    assert blob.count(disabled) == 2
    assert b"okay" not in blob
    assert words(1) + b"hdmi@1\0\0" + disabled + words(3, 4, 0, 7, 2) in blob
    assert words(1) + b"i2c@2\0\0\0" + disabled + words(2, 2, 2, 9) in blob
    assert words(0, 4096, 0, 8192) + bytes(16) in blob
    assert struct.unpack_from(">I", blob, 4) == (len(blob),)
    assert struct.unpack_from(">I", blob, 28) == (3,)
    assert fdt.disable(blob, ["/soc/hdmi@1", "/soc/i2c@2"]) == blob


def test_only_the_nodes_named_are_switched_off() -> None:
    blob = fdt.disable(device_tree(), ["/soc/i2c@2"])
    assert blob.count(b"disabled\0") == 1
    assert b"okay\0" in blob


def test_a_node_that_is_not_there_is_refused() -> None:
    with pytest.raises(OperatorError) as refused:
        fdt.disable(device_tree(), ["/soc/hdmi@1", "/soc/hdmi@9"])
    assert (refused.value.code, refused.value.expected) == ("image.fdt.node", "/soc/hdmi@9")


@pytest.mark.parametrize(
    ("blob", "code"),
    [
        (b"", "image.fdt.truncated"),
        (bytes(40), "image.fdt.header"),
        (device_tree()[:100], "image.fdt.truncated"),
        (device_tree().replace(words(2, 2, 2, 9), words(2, 2, 7, 9)), "image.fdt.structure"),
        (device_tree().replace(words(2, 2, 2, 9), words(2, 2, 9, 9)), "image.fdt.structure"),
        (device_tree(status_at=99), "image.fdt.structure"),
        (device_tree().replace(words(2, 2, 2, 9), words(2, 2) + (words(1) + b"a\0\0\0") * 99), "image.fdt.truncated"),
    ],
)
def test_a_broken_tree_is_refused(blob: bytes, code: str) -> None:
    with pytest.raises(DataError) as refused:
        fdt.disable(blob, ["/soc/hdmi@1"])
    assert refused.value.code == code


@given(at=st.integers(0, len(device_tree()) - 1), value=st.integers(0, 255))
def test_any_damage_is_refused_or_harmless(at: int, value: int) -> None:
    blob = bytearray(device_tree())
    blob[at] = value
    code = "image.fdt.none"
    try:
        fdt.disable(bytes(blob), ["/soc/hdmi@1"])
    except PowernodeError as error:
        code = error.code
    assert code.startswith("image.fdt.")
