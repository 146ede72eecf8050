# SPDX-License-Identifier: MIT
"""The early network with a real DHCP server, in a network namespace of the test's own: the routes that clouds hand out.

Client and server are the busybox that goes into an initramfs, at the two ends of a virtual cable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from powernode.agent.network import EarlyNetwork, has_route
from powernode.agent.paths import Paths
from powernode.base.errors import MachineError
from powernode.debian.inputs import Inputs
from root._metadata_service import ADDRESS, run_in_network
from support.debian import CACHE
from vm._images import HOST_ARCH, locked

ROUTER = "option router 10.9.0.2"  # not .1: that is the server, and here an address of the client's own kernel
STATIC = f"option staticroutes {ADDRESS[0]}/32 10.9.0.3"
SUBNET = "option subnet 255.255.255.0"
ALONE = "option subnet 255.255.255.255"


def ip(words: str) -> str:
    return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout


class Cable:
    """`client` is the interface of a machine whose tree is `root`."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(str(root))
        self.busybox = root / "usr/bin/busybox"
        self.busybox.parent.mkdir(parents=True)
        shutil.copy(Inputs(locked(HOST_ARCH), CACHE).tree("busybox-static") / "usr/bin/busybox", self.busybox)
        # /sys shows the interfaces of the namespace it was mounted in, and a cable has no device.
        folder = root / "sys/class/net/client"
        (folder / "device").mkdir(parents=True)
        for attribute, value in (("type", "1"), ("flags", "0x1002"), ("carrier", "1")):
            (folder / attribute).write_text(value)

    def early_network(self) -> EarlyNetwork:
        return EarlyNetwork(self.paths, clock=time.monotonic, sleep=time.sleep)

    def connect(self) -> None:
        ip(f"address del {ADDRESS[0]}/32 dev lo")
        ip("link add client type veth peer name server")
        ip("address add 10.9.0.1/24 dev server")
        ip("link set server up")

    def serve(self, root: Path, *options: str) -> subprocess.Popen[bytes]:
        config = root / "udhcpd.conf"
        (root / "leases").touch()
        lines = (
            "start 10.9.0.20",
            "end 10.9.0.20",
            "interface server",
            f"lease_file {root}/leases",
            "pidfile",
            *options,
        )
        config.write_text("\n".join(lines) + "\n")
        return subprocess.Popen([self.busybox, "udhcpd", "-f", "-a1", config], stderr=subprocess.DEVNULL)


@pytest.fixture
def cable(tmp_path: Path) -> Cable:
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    if not shutil.which("ip"):
        pytest.skip("no ip command (package iproute2)")
    cable = Cable(tmp_path)
    try:
        run_in_network(cable.connect)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace with a cable here: {error}")
    return cable


@pytest.mark.parametrize(
    ("options", "address", "routes"),
    [
        ((SUBNET, ROUTER), "10.9.0.20/24", ["10.9.0.0/24", "default via 10.9.0.2"]),
        ((ALONE, ROUTER), "10.9.0.20/32", ["default via 10.9.0.2"]),
        ((SUBNET, ROUTER, STATIC), "10.9.0.20/24", ["10.9.0.0/24", "169.254.169.254 via 10.9.0.3"]),
        ((SUBNET,), "10.9.0.20/24", ["10.9.0.0/24", "169.254.0.0/16"]),
    ],
    ids=["router", "router outside of the subnet", "static routes instead of the router", "only the link"],
)
def test_lease(cable: Cable, tmp_path: Path, options: tuple[str, ...], address: str, routes: list[str]) -> None:
    def body() -> None:
        cable.connect()
        assert not has_route()
        server = cable.serve(tmp_path, *options)
        try:
            with cable.early_network() as network:
                network(5.0)
                assert f"inet {address}" in ip("address show dev client")
                found = sorted(line.split(" scope")[0] for line in ip("route show dev client").splitlines())
                assert [words(line) for line in found] == routes
                assert has_route()
            assert "inet" not in ip("address show dev client")
            assert "UP" not in ip("link show dev client").split(">")[0]
            assert not has_route()
        finally:
            server.kill()
            server.wait()

    run_in_network(body)


def words(route: str) -> str:
    """Destination and gateway."""
    return route.split(" proto")[0].split(" src")[0].strip().removesuffix(" onlink")


def test_nobody_answers(cable: Cable) -> None:
    def body() -> None:
        cable.connect()
        before = time.monotonic()
        with cable.early_network() as network, pytest.raises(MachineError) as refusal:
            network(1.0)
        assert refusal.value.code == "network.no-lease"
        assert time.monotonic() - before < 3
        assert "UP" not in ip("link show dev client").split(">")[0]

    run_in_network(body)
