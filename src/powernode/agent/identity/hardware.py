# SPDX-License-Identifier: MIT
"""The source `hardware`: DMI, device tree, /proc/cpuinfo and the permanent MAC address. No secret, only recognition.

A serial that the maker forgot to set identifies thousands of machines: such placeholders are refused and named. The MAC
is that of the first physical Ethernet interface by name; bridges and tunnels have no device, and an address that the
kernel made up at random would be another one after the next boot.

    observe(around).serial      # "10000000a1b2c3d4"
"""

from __future__ import annotations

import os

from powernode.agent.identity.fields import is_uuid
from powernode.agent.identity.model import Hardware
from powernode.agent.identity.surroundings import Surroundings
from powernode.base.errors import PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT = 64 * 1024
_LONGEST = 128
_PLACEHOLDERS = frozenset(
    (
        "to be filled by o.e.m.",
        "to be filled by oem",
        "not specified",
        "not applicable",
        "not available",
        "not set",
        "none",
        "null",
        "n/a",
        "na",
        "o.e.m.",
        "oem",
        "default string",
        "default",
        "unknown",
        "invalid",
        "empty",
        "serial number",
        "system serial number",
        "system product name",
        "system manufacturer",
        "chassis serial number",
        "0123456789",
        "123456789",
        "1234567890",
        "012345678",
        "12345678",
    )
)
# Set by firmware development kits and left in by makers of boards.
_PLACEHOLDER_UUIDS = frozenset(("03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"))
_DMI = "sys/class/dmi/id"
_TREE = "proc/device-tree"
_ETHERNET = b"1"
_RANDOM = b"1"  # NET_ADDR_RANDOM


def observe(around: Surroundings) -> Hardware:
    """Everything that can be learnt; a field that cannot be read is named in `refused` and left out."""
    looking = _Looking(around)
    looking.text("vendor", f"{_DMI}/sys_vendor")
    looking.text("vendor", f"{_TREE}/compatible", lambda data: data.partition(b",")[0])
    looking.text("model", f"{_DMI}/product_name")
    looking.text("model", f"{_TREE}/model")
    looking.text("serial", f"{_DMI}/product_serial")
    looking.text("serial", f"{_TREE}/serial-number")
    looking.text("serial", "proc/cpuinfo", lambda data: _cpuinfo(data, b"Serial"))
    looking.uuid(f"{_DMI}/product_uuid")
    looking.mac()
    return Hardware(places=looking.places, refused=looking.refused, **looking.values)


def is_placeholder(text: str) -> bool:
    """Whether a maker left the field as it was: a stock phrase, or one character over and over."""
    plain = text.casefold().strip()
    return plain in _PLACEHOLDERS or len(set(plain) - set("-_. :")) <= 1


class _Looking:
    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.values: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.refused: list[str] = []

    def _read(self, path: str) -> bytes | None:
        try:
            return self._around.read(path, _LIMIT)
        except PowernodeError as error:  # product_serial is for root only: the other fields are still worth having
            self.refused.append(error.message)
            return None

    def _keep(self, field: str, value: str, path: str) -> None:
        self.values[field] = value
        self.places[field] = f"/{path}"

    def text(self, field: str, path: str, pick: Callable[[bytes], bytes] = bytes) -> None:
        """Takes the field from here unless an earlier place had it. Device-tree values end in NUL."""
        if field in self.values or (data := self._read(path)) is None:
            return
        value = pick(data).split(b"\0")[0].decode("utf-8", "replace").strip()
        if not value:
            return
        if len(value) > _LONGEST or not value.isprintable() or "\N{REPLACEMENT CHARACTER}" in value:
            self.refused.append(f"/{path} is not plain text of at most {_LONGEST} characters")
        elif is_placeholder(value):
            self.refused.append(f"/{path} is a placeholder: {value}")
        else:
            self._keep(field, value, path)

    def uuid(self, path: str) -> None:
        data = self._read(path)
        if data is None:
            return
        value = data.decode("ascii", "replace").strip().lower()
        if is_uuid(value) and value not in _PLACEHOLDER_UUIDS and not is_placeholder(value):
            self._keep("dmi_uuid", value, path)
        else:
            self.refused.append(f"/{path} is no UUID of this machine: {ascii(value[:40])[1:-1]}")

    def mac(self) -> None:
        base = "sys/class/net"
        for name in self._around.names(base):
            folder = f"{base}/{name}"
            if not os.path.lexists(self._around.path(f"{folder}/device")):
                continue
            if (self._read(f"{folder}/type") or b"").strip() != _ETHERNET:
                continue
            if (self._read(f"{folder}/addr_assign_type") or b"").strip() == _RANDOM:
                self.refused.append(f"/{folder} has a random address")
                continue
            value = (self._read(f"{folder}/address") or b"").decode("ascii", "replace").strip().lower()
            if _is_mac(value):
                self._keep("mac", value, f"{folder}/address")
                return
            self.refused.append(f"/{folder}/address is no address of one interface")


def _is_mac(text: str) -> bool:
    try:
        octets = bytes.fromhex(text.replace(":", " "))
    except ValueError:
        return False
    return len(text) == 17 and len(octets) == 6 and not octets[0] & 1 and any(octets)


def _cpuinfo(data: bytes, name: bytes) -> bytes:
    for line in data.splitlines():
        key, _, value = line.partition(b":")
        if key.strip() == name:
            return value.strip()
    return b""
