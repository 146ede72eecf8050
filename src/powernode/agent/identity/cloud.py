# SPDX-License-Identifier: MIT
"""The source `cloud`: user data from the metadata service of AWS, GCP, Azure or OpenStack and its relatives.

The firmware says first which cloud this is; a machine that is in none never opens a socket and never waits. Only then
the link is brought up, by the port, and the client for HTTP is imported.

    guess(around)       # ("aws", "sys_vendor is Amazon EC2"), or (None, why not)
"""

from __future__ import annotations

from powernode.agent.identity.model import Material
from powernode.agent.identity.surroundings import Deadline, Surroundings
from powernode.base.errors import MachineError

_DMI = "sys/class/dmi/id"
_SIGNS = (
    ("aws", "sys_vendor", "Amazon EC2"),
    ("aws", "bios_vendor", "Amazon EC2"),
    ("gcp", "product_name", "Google Compute Engine"),
    # sys_vendor is Microsoft on every Hyper-V; this asset tag is on Azure's.
    ("azure", "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"),
    ("openstack", "sys_vendor", "OpenStack Foundation"),
    ("openstack", "product_name", "OpenStack Nova"),
    ("openstack", "product_name", "OpenStack Compute"),
    ("openstack", "chassis_asset_tag", "OpenTelekomCloud"),
)


def read(around: Surroundings, deadline: Deadline) -> Material:
    provider, why = guess(around)
    if provider is None:
        return Material({}, why)
    if around.network is None:
        return Material({}, f"{why}, but no network: nothing here can bring a link up")
    try:
        around.network(deadline.remaining())
    except MachineError as error:
        return Material({}, f"{why}, but no network: {error.message}")
    from powernode.agent.identity.cloud_providers import ask

    return ask(provider, around, deadline)


def guess(around: Surroundings) -> tuple[str | None, str]:
    """The provider by the strings of the firmware, and the evidence."""
    seen: dict[str, str] = {}
    for provider, name, sign in _SIGNS:
        if name not in seen:
            data = around.read(f"{_DMI}/{name}") or b""
            seen[name] = data.decode("utf-8", "replace").strip()
        if seen[name] == sign:
            return provider, f"{name} is {sign}"
    vendor = seen["sys_vendor"]
    return None, f"no cloud known by its firmware ({f'sys_vendor is {vendor[:40]!a}' if vendor else 'no DMI'})"
