# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.identity.hardware import is_placeholder, observe
from unit.agent.identity.trees import UUID, Tree

DMI = "sys/class/dmi/id"
PI = {
    "proc/device-tree/compatible": b"raspberrypi,4-model-b\0brcm,bcm2711\0",
    "proc/device-tree/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/device-tree/serial-number": b"10000000a1b2c3d4\0",
}
CPUINFO = b"processor\t: 0\n\nHardware\t: BCM2835\nSerial\t\t: 00000000deadbeef\nModel\t\t: Pi\n"


def interface(tree: Tree, name: str, mac: str, *, physical: bool = True, kind: str = "1", assigned: str = "0") -> None:
    folder = f"sys/class/net/{name}"
    tree.put(f"{folder}/address", f"{mac}\n")
    tree.put(f"{folder}/type", f"{kind}\n")
    tree.put(f"{folder}/addr_assign_type", f"{assigned}\n")
    if physical:
        (tree.root / folder / "device").symlink_to("../../../virtio3")  # need not lead anywhere in a tree


def test_a_pc(tree: Tree) -> None:
    for name, value in {
        "sys_vendor": "QEMU",
        "product_name": "Q35",
        "product_serial": "SN-7",
        "product_uuid": UUID.upper(),
    }.items():
        tree.put(f"{DMI}/{name}", f"{value}\n")
    for path, data in PI.items():
        tree.put(path, data)
    found = observe(tree.around())
    assert (found.vendor, found.model, found.serial, found.dmi_uuid) == ("QEMU", "Q35", "SN-7", UUID)
    assert found.places["serial"] == f"/{DMI}/product_serial"
    assert found.refused == ()


def test_a_raspberry_pi(tree: Tree) -> None:
    for path, data in PI.items():
        tree.put(path, data)
    tree.put("proc/cpuinfo", CPUINFO)
    interface(tree, "eth0", "DC:A6:32:01:02:03")
    found = observe(tree.around())
    assert found.as_dict() == {
        "fields": {
            "vendor": {"value": "raspberrypi", "source": "hardware", "place": "/proc/device-tree/compatible"},
            "model": {
                "value": "Raspberry Pi 4 Model B Rev 1.4",
                "source": "hardware",
                "place": "/proc/device-tree/model",
            },
            "serial": {
                "value": "10000000a1b2c3d4",
                "source": "hardware",
                "place": "/proc/device-tree/serial-number",
            },
            "mac": {"value": "dc:a6:32:01:02:03", "source": "hardware", "place": "/sys/class/net/eth0/address"},
        },
        "refused": [],
    }


def test_cpuinfo_is_the_last_place_for_a_serial(tree: Tree) -> None:
    tree.put("proc/cpuinfo", CPUINFO)
    found = observe(tree.around())
    assert (found.serial, found.places["serial"]) == ("00000000deadbeef", "/proc/cpuinfo")


def test_a_model_alone_identifies_nobody(tree: Tree) -> None:
    tree.put("proc/device-tree/model", PI["proc/device-tree/model"])
    found = observe(tree.around())
    assert found.model
    assert not found.identifies


PLACEHOLDERS = [
    *("To be filled by O.E.M.", "TO BE FILLED BY O.E.M.", "Not Specified", "Default string", "System Serial Number"),
    *("None", "0", "00000000", "0000-0000", "FFFFFFFF", "XXXXXXXX", "...", "123456789", "N/A", " "),
]


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_placeholder_serials(tree: Tree, text: str) -> None:
    tree.put(f"{DMI}/product_serial", f"{text}\n")
    found = observe(tree.around())
    assert found.serial is None
    expected = [f"/{DMI}/product_serial is a placeholder: {text}"] if text.strip() else []
    assert list(found.refused) == expected


def test_a_placeholder_lets_the_next_place_speak(tree: Tree) -> None:
    tree.put(f"{DMI}/product_serial", "Default string")
    tree.put("proc/device-tree/serial-number", b"S-1\0")
    assert observe(tree.around()).serial == "S-1"


@pytest.mark.parametrize(
    "text",
    [
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "Not Settable",
        "",
    ],
)
def test_uuids_of_no_machine(tree: Tree, text: str) -> None:
    tree.put(f"{DMI}/product_uuid", text)
    found = observe(tree.around())
    assert found.dmi_uuid is None
    assert "product_uuid is no UUID of this machine" in found.refused[0]


@pytest.mark.parametrize("data", [b"a\xffb", b"a\x1b[2Jb", b"x" * 129])
def test_serials_that_are_no_text(tree: Tree, data: bytes) -> None:
    tree.put(f"{DMI}/product_serial", data)
    found = observe(tree.around())
    assert found.serial is None
    assert found.refused == (f"/{DMI}/product_serial is not plain text of at most 128 characters",)


def test_the_mac_is_that_of_the_first_physical_interface(tree: Tree) -> None:
    interface(tree, "br0", "52:54:00:00:00:01", physical=False)
    interface(tree, "eth1", "52:54:00:00:00:03")
    interface(tree, "eth0", "52:54:00:00:00:02")
    interface(tree, "can0", "52:54:00:00:00:04", kind="280")
    found = observe(tree.around())
    assert (found.mac, found.places["mac"]) == ("52:54:00:00:00:02", "/sys/class/net/eth0/address")


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "52:54:00", "eth0", ""])
def test_macs_of_nobody(tree: Tree, mac: str) -> None:
    interface(tree, "eth0", mac)
    interface(tree, "eth1", "52:54:00:00:00:03")
    found = observe(tree.around())
    assert found.mac == "52:54:00:00:00:03"
    assert found.refused == ("/sys/class/net/eth0/address is no address of one interface",)


def test_a_random_mac_is_another_one_after_the_next_boot(tree: Tree) -> None:
    interface(tree, "usb0", "52:54:00:00:00:02", assigned="1")
    found = observe(tree.around())
    assert found.mac is None
    assert found.refused == ("/sys/class/net/usb0 has a random address",)


@given(st.text(st.sampled_from("0123456789ABCDEF"), min_size=8))
def test_a_serial_of_several_digits_is_no_placeholder(text: str) -> None:
    listed = ("12345678", "123456789", "1234567890", "0123456789", "012345678")
    assert is_placeholder(text) == (len(set(text)) == 1 or text in listed)
