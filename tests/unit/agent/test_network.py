# SPDX-License-Identifier: MIT
"""The early network: which interfaces it uses, when it gives up, and that it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from powernode.agent.network import EarlyNetwork
from powernode.agent.paths import Paths
from powernode.base.errors import MachineError


class Machine:
    """Interfaces in a tree; `leases` are those with a DHCP server behind them. Every `udhcpc` takes a second."""

    def __init__(self, root: Path, leases: Sequence[str] = ()) -> None:
        self.paths = Paths(str(root))
        self.leases = leases
        self.now = 100.0
        self.has_route = False
        self.ran: list[str] = []
        self.has_busybox = True
        self._net = root / "sys/class/net"

    def interface(self, name: str, *, kind: str = "1", flags: str = "0x1002", carrier: str = "1") -> Path:
        folder = self._net / name
        folder.mkdir(parents=True)
        for attribute, value in (("type", kind), ("flags", flags), ("carrier", carrier)):
            (folder / attribute).write_text(f"{value}\n")
        (folder / "device").mkdir()
        return folder

    def network(self) -> EarlyNetwork:
        return EarlyNetwork(self.paths, clock=lambda: self.now, sleep=self._sleep, run=self._run, is_there=self._route)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _route(self) -> bool:
        return self.has_route

    def _run(self, words: Sequence[str], timeout_s: float) -> int | None:
        assert timeout_s > 0
        if not self.has_busybox:
            raise MachineError("linux.process.spawn", f"cannot run {words[0]}")
        tool, *rest = words[1:]
        if tool == "ip":
            self.ran.append(" ".join(rest))
            return 0
        name = rest[rest.index("-i") + 1]
        self.ran.append(f"dhcp {name}")
        if timeout_s < 1:
            self.now += timeout_s
            return None
        self.now += 1
        return 0 if name in self.leases else 1


def off(*names: str) -> list[str]:
    return [line for name in names for line in (f"address flush dev {name}", f"link set {name} down")]


def test_first_interface_with_a_lease(tmp_path: Path) -> None:
    machine = Machine(tmp_path, leases=("eth1", "eth2"))
    for name in ("eth2", "eth0", "eth1"):
        machine.interface(name)
    with machine.network() as network:
        network(5.0)
        up = [f"link set eth{number} up" for number in range(3)]
        assert machine.ran == [*up, "dhcp eth0", "dhcp eth1"]
        machine.ran.clear()
    assert machine.ran == off("eth2", "eth1", "eth0")


def test_nobody_called_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.interface("eth0")
    with machine.network():
        pass
    assert machine.ran == []


def test_there_is_a_route_already(tmp_path: Path) -> None:
    machine = Machine(tmp_path, leases=("eth0",))
    machine.interface("eth0")
    machine.has_route = True
    with machine.network() as network:
        network(5.0)
    assert machine.ran == []


def test_only_ethernet_that_nobody_uses(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.interface("br0") / "device").rmdir()
    machine.interface("can0", kind="280")
    machine.interface("storage0", flags="0x1003")  # what dracut has switched on for the disk, say
    (machine.interface("wlan0") / "phy80211").mkdir()
    with machine.network() as network, pytest.raises(MachineError) as refusal:
        network(5.0)
    assert refusal.value.code == "network.no-interface"
    assert machine.ran == []


def test_no_network_at_all(tmp_path: Path) -> None:
    with Machine(tmp_path).network() as network, pytest.raises(MachineError) as refusal:
        network(5.0)
    assert refusal.value.code == "network.no-interface"


def test_image_without_busybox(tmp_path: Path) -> None:
    """A dracut image need not have one; the end of the `with` must not raise again."""
    machine = Machine(tmp_path)
    machine.has_busybox = False
    machine.interface("eth0")
    with machine.network() as network, pytest.raises(MachineError) as refusal:
        network(5.0)
    assert refusal.value.code == "linux.process.spawn"


def test_no_carrier(tmp_path: Path) -> None:
    machine = Machine(tmp_path, leases=("eth0",))
    machine.interface("eth0", carrier="0")
    with machine.network() as network, pytest.raises(MachineError) as refusal:
        network(5.0)
    assert refusal.value.code == "network.no-carrier"
    assert machine.now == pytest.approx(105.0)
    assert machine.ran == ["link set eth0 up", *off("eth0")]


def test_no_lease(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.interface("eth0")
    machine.interface("eth1")
    with machine.network() as network, pytest.raises(MachineError) as refusal:
        network(5.0)
    assert refusal.value.code == "network.no-lease"
    assert "eth0, eth1" in refusal.value.message
    assert machine.ran[-4:] == off("eth1", "eth0")


def test_interfaces_share_the_time(tmp_path: Path) -> None:
    """Four interfaces without a server must not take the whole budget each."""
    machine = Machine(tmp_path)
    for number in range(4):
        machine.interface(f"eth{number}")
    with machine.network() as network, pytest.raises(MachineError):
        network(2.0)
    assert machine.now == pytest.approx(102.0)
    assert [line for line in machine.ran if line.startswith("dhcp")] == [f"dhcp eth{number}" for number in range(4)]
