# SPDX-License-Identifier: MIT
"""A network for the one question that is asked before there is a root: the one to a cloud's metadata service.

Every Ethernet interface of the machine's own is switched on, the first that gets an address by DHCP is used; busybox's
`ip` and `udhcpc` do it. Invariants: nothing happens until it is called, and only the source `cloud` calls it, after the
firmware said that this is a cloud; where there is a route to the service, or an interface that somebody else has
switched on, that is left alone; at the end of the `with` every address is gone and every interface is off again.

It is not left to the root's own network: nobody would renew the lease, so that the address could become another
machine's while it is still used here; udev cannot rename an interface that is on (older kernels), and what the
root's configuration does not mention should not be reachable. Asking DHCP a second time costs far less.

Out of scope: IPv6, Wi-Fi, names.

    with EarlyNetwork(paths, clock=time.monotonic, sleep=time.sleep) as network:
        network(5.0)        # or MachineError network.no-interface, .no-carrier, .no-lease
"""

from __future__ import annotations

import os
from contextlib import suppress

from powernode.agent.identity.surroundings import METADATA_ADDRESS, read_bounded
from powernode.agent.mounts import make_folder
from powernode.base.errors import MachineError, PowernodeError
from powernode.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from powernode.agent.paths import Paths

__all__ = ["EarlyNetwork", "has_route"]

_ETHERNET = b"1"
_UP = 1  # IFF_UP
_POLL_S = 0.05
_STEP_S = 2.0

# Static routes replace the router (RFC 3442); a router may be outside of the subnet (GCP's address is a /32). With
# neither, the service may still be on the link.
_SCRIPT = """#!{busybox} sh
[ "$1" = bound ] || exit 0
set -f
{busybox} ip address add "$ip/$mask" dev "$interface"
set -- ${{staticroutes:-${{router:+0.0.0.0/0 ${{router%% *}}}}}}
[ $# -gt 0 ] || set -- 169.254.0.0/16 0.0.0.0
while [ $# -gt 1 ]; do
    if [ "$2" = 0.0.0.0 ]; then
        {busybox} ip route add "$1" dev "$interface"
    else
        {busybox} ip route add "$1" via "$2" dev "$interface" onlink
    fi
    shift 2
done
"""


def has_route() -> bool:
    """Whether the kernel knows a way to the metadata service; nothing is sent."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(METADATA_ADDRESS)
        except OSError:
            return False
    return True


class EarlyNetwork:
    """The port `Network` of identity.surroundings. `run` runs a program for a limited time."""

    def __init__(
        self,
        paths: Paths,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        run: Callable[[Sequence[str], float], int | None] = process.run,
        is_there: Callable[[], bool] = has_route,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._run = run
        self._is_there = is_there
        self._net = f"{paths.sys}/class/net"
        self._folder = paths.run
        self._busybox = paths.at("/usr/bin/busybox")
        self._switched_on: list[str] = []

    def __enter__(self) -> EarlyNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        while self._switched_on:
            name = self._switched_on.pop()
            with suppress(MachineError):  # there is a root to boot all the same
                self._ip("address", "flush", "dev", name)
                self._ip("link", "set", name, "down")

    def __call__(self, timeout_s: float) -> None:
        if self._is_there():
            return
        end = self._clock() + timeout_s
        left = self._interfaces()
        if not left:
            raise MachineError(
                "network.no-interface",
                "no Ethernet interface is here to be used",
                hint="is its driver in the initramfs?",
            )
        script = self._write_script()
        for name in left:
            self._ip("link", "set", name, "up")
            self._switched_on.append(name)
        tried: list[str] = []
        while left and (remaining := end - self._clock()) > 0:
            ready = next((name for name in left if self._read(name, "carrier") == b"1"), None)
            if ready is None:
                self._sleep(min(_POLL_S, remaining))
                continue
            if self._ask(ready, script, remaining / len(left)):
                return
            left.remove(ready)
            tried.append(ready)
        if not tried:
            raise MachineError("network.no-carrier", f"no carrier on {', '.join(left)}")
        raise MachineError("network.no-lease", f"no answer from DHCP on {', '.join(tried)}")

    def _interfaces(self) -> list[str]:
        """By name. Not: bridges and tunnels, which have no device, Wi-Fi, and what is on for somebody else."""
        try:
            names = sorted(os.listdir(self._net))
        except FileNotFoundError:
            return []
        return [
            name
            for name in names
            if os.path.lexists(f"{self._net}/{name}/device")
            and not os.path.exists(f"{self._net}/{name}/phy80211")
            and self._read(name, "type") == _ETHERNET
            and not int(self._read(name, "flags") or b"0", 16) & _UP
        ]

    def _read(self, name: str, attribute: str) -> bytes:
        try:
            return (read_bounded(f"{self._net}/{name}/{attribute}", 4096) or b"").strip()
        except PowernodeError:  # the carrier of an interface that is off cannot be read
            return b""

    def _write_script(self) -> str:
        path = f"{self._folder}/dhcp"
        make_folder(self._folder)
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(_SCRIPT.format(busybox=self._busybox))
            os.chmod(path, 0o700)
        except OSError as error:
            raise MachineError("network.script", f"cannot write {path}", found=error.strerror) from error
        return path

    def _ask(self, name: str, script: str, seconds: float) -> bool:
        """Whether there is a lease, which the script has made an address of."""
        words = [self._busybox, "udhcpc", "-f", "-q", "-n", "-i", name, "-s", script, "-O", "staticroutes"]
        return self._run([*words, "-T", "1", "-t", f"{max(1, int(seconds))}"], seconds) == 0

    def _ip(self, *words: str) -> None:
        self._run([self._busybox, "ip", *words], _STEP_S)
