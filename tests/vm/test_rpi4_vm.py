# SPDX-License-Identifier: MIT
"""The image for a Raspberry Pi 4 on QEMU's raspi4b: a verified root from a USB disk, and what the agent knows there.

The board's firmware is not emulated, so kernel, initramfs and device tree come from QEMU; nor can the emulated board
switch off, so each test ends with the line it waits for.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from powernode.image import board
from powernode.image.guest import start
from powernode.image.qemu import Disk, Machine
from powernode.image.request import Options
from support.debian import CHECKOUT
from vm._images import boot, kernel_initrd, tiny_module

DTB = "bcm2711-rpi-4-b.dtb"
MODEL = {"value": "Raspberry Pi 4 Model B", "source": "hardware", "place": "/proc/device-tree/model"}
ASK = "powernode-agent introspect --json"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        machines = subprocess.run(
            ["qemu-system-aarch64", "-machine", "help"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no Raspberry Pi here: {error}")
    if "raspi4b" not in machines.stdout:
        pytest.skip("this QEMU has no raspi4b: it came with QEMU 9.0")
    folder = tmp_path_factory.mktemp("rpi4")
    (folder / "config.json").write_text('{"recovery":{"seconds":60,"shell":true}}')
    tiny = tiny_module(folder, "arm64")
    return kernel_initrd(
        Options(arch="arm64", board="rpi4", modules=(tiny.directory,), config=folder / "config.json", room_mib=16)
    )


def pi(folder: Path, append: str = "") -> Machine:
    return Machine(
        target=board.read(CHECKOUT / "board", "rpi4").target("arm64"),
        kernel=folder / "vmlinuz",
        initramfs=folder / "initramfs.cpio.zst",
        cmdline=f"{(folder / 'cmdline').read_text().strip()} {append}",
        disks=(Disk(path=folder / "persist.img", throw_away=True),),
        dtb=folder / DTB,
    )


def test_a_verified_root_from_a_usb_disk(image: Path) -> None:
    booted = boot(pi(image), until="@@ exit")
    assert booted.report["root"]["enforcement"] == "kernel-verity"
    assert booted.report["persist"]["device"] == "/dev/sda"
    assert not booted.refused
    assert not [name for name in booted.results if name.startswith("refused:")]


def test_what_the_agent_knows(image: Path) -> None:
    """As somebody at the serial console finds out why nothing boots: the shell of the recovery screen."""
    lines = []
    with start(pi(image, f"powernode.root_digest={'0' * 64}"), timeout_s=180) as guest:
        for line in guest.lines():
            lines.append(line)
            if "Press Enter on this console" in line:
                guest.type("\n")
            elif "built-in shell" in line:
                guest.type(f"{ASK}\n")
            elif line.startswith("{"):
                break
    assert lines[-1].startswith("{"), "\n".join(lines[-60:])
    assert "  model: Raspberry Pi 4 Model B" in lines  # of the recovery screen
    known = json.loads(lines[-1])
    assert known["identity"]["hardware"]["fields"]["model"] == MODEL
    assert known["identity"]["identity"]["source"] == "hardware"  # nobody told it who it is: by what it is
    assert [disk["label"] for disk in known["disks"]] == ["persist"]
    assert [refusal["code"] for refusal in known["boot"]["refused"]] == ["boot.root-digest"]
