# SPDX-License-Identifier: MIT
"""What needs no service: the guess, the wait that does not happen, the addresses. tests/root has the services."""

from __future__ import annotations

import pytest

from powernode.agent.identity import cloud
from powernode.agent.identity.cloud_http import require_local
from powernode.base.errors import MachineError, OperatorError
from unit.agent.identity.trees import Tree, plenty, values

DMI = "sys/class/dmi/id"
SIGNS = [
    ("sys_vendor", "Amazon EC2", "aws"),
    ("bios_vendor", "Amazon EC2", "aws"),
    ("product_name", "Google Compute Engine", "gcp"),
    ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "azure"),
    ("sys_vendor", "OpenStack Foundation", "openstack"),
    ("product_name", "OpenStack Nova", "openstack"),
    ("product_name", "OpenStack Compute", "openstack"),
    ("chassis_asset_tag", "OpenTelekomCloud", "openstack"),
]


@pytest.mark.parametrize(("name", "sign", "provider"), SIGNS)
def test_the_firmware_names_the_cloud(tree: Tree, name: str, sign: str, provider: str) -> None:
    tree.put(f"{DMI}/{name}", f"{sign}\n")
    assert cloud.guess(tree.around()) == (provider, f"{name} is {sign}")


@pytest.mark.parametrize("vendor", ["QEMU", "Microsoft Corporation", "Amazon EC2 lookalike", "\x1b[2J"])
def test_outside_of_a_cloud_the_network_is_not_touched(tree: Tree, vendor: str) -> None:
    def network(timeout_s: float) -> None:
        raise AssertionError("a machine outside of a cloud must not wait")

    tree.put(f"{DMI}/sys_vendor", f"{vendor}\n")
    found = cloud.read(tree.around(network=network), plenty())
    assert (values(found), found.remark) == ({}, f"no cloud known by its firmware (sys_vendor is {vendor!a})")


def test_no_network(tree: Tree) -> None:
    def network(timeout_s: float) -> None:
        raise MachineError("net.link", "no carrier on eth0")

    tree.put(f"{DMI}/sys_vendor", "Amazon EC2")
    found = cloud.read(tree.around(), plenty())
    assert found.remark == "sys_vendor is Amazon EC2, but no network: nothing here can bring a link up"
    found = cloud.read(tree.around(network=network), plenty())
    assert found.remark == "sys_vendor is Amazon EC2, but no network: no carrier on eth0"


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1", "::1", "fe80::a9fe:a9fe"])
def test_addresses_that_stay_on_the_link(host: str) -> None:
    require_local(host)


@pytest.mark.parametrize(
    "host", ["169.255.0.1", "10.0.0.1", "8.8.8.8", "::", "fd00:ec2::254", "2001:db8::1", "localhost", "169.254.1", ""]
)
def test_addresses_that_do_not(tree: Tree, host: str) -> None:
    tree.put(f"{DMI}/sys_vendor", "Amazon EC2")
    around = tree.around(network=lambda timeout_s: None, metadata=(host, 80))
    with pytest.raises(OperatorError) as caught:
        cloud.read(around, plenty())
    assert caught.value.code == "identity.cloud.address"
