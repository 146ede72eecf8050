# SPDX-License-Identifier: MIT
"""A machine whose firmware says Amazon EC2: the link comes up, DHCP gives an address, the metadata service is asked.

QEMU's user network plays the cloud: it is 169.254.0.0/16 here, and hands connections to 169.254.169.254 to a script.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from powernode.image.qemu import Disk
from powernode.image.request import Options
from vm._images import HOST_ARCH, boot, kernel_initrd, machine, tiny_module

UUID = "6f1c2b3a-0d4e-4f5a-8b6c-7d8e9fa0b1c2"

# One connection: input and output are the socket.
SERVICE = f"""
import sys
head = []
while (line := sys.stdin.buffer.readline().strip()):
    head.append(line.decode().lower())
method, path, _ = head[0].split()
status, body = "404 Not Found", ""
if (method, path) == ("put", "/latest/api/token"):
    status, body = "200 OK", "session"
elif (method, path) == ("get", "/latest/user-data"):
    status = "401 Unauthorized"
    if "x-aws-ec2-metadata-token: session" in head:
        status, body = "200 OK", "instance_uuid={UUID}\\nplatform_url=https://platform.example\\n"
sys.stdout.write(f"HTTP/1.1 {{status}}\\r\\nContent-Length: {{len(body)}}\\r\\nConnection: close\\r\\n\\r\\n{{body}}")
"""
INIT = """#!/usr/bin/busybox sh
busybox() { /usr/bin/busybox "$@"; }
tell() { echo; echo "@@ $1 $2"; }
tell report "$(busybox cat /run/powernode/boot.json)"
tell addresses '"'"$(busybox ip -o address show | busybox awk '{printf "%s %s;", $2, $4}')"'"'
tell flags $(($(busybox cat /sys/class/net/e*/flags)))
tell exit 0
busybox poweroff -f
"""


def test_identity_from_a_cloud(tmp_path: Path) -> None:
    if HOST_ARCH != "amd64":
        pytest.skip("a direct kernel start on arm64 has no SMBIOS to say which cloud this is")
    (tmp_path / "service.py").write_text(SERVICE)
    tiny = tiny_module(tmp_path, HOST_ARCH, name="cloud", init=INIT, files=1)
    folder = kernel_initrd(Options(arch=HOST_ARCH, modules=(tiny.directory,), room_mib=16))
    service = f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} -I -S {tmp_path / 'service.py'}"
    options = (
        *("-smbios", "type=1,manufacturer=Amazon EC2"),
        *("-netdev", f"user,id=cloud,net=169.254.0.0/16,{service}"),
        *("-device", "virtio-net-pci,netdev=cloud,romfile="),
    )
    disk = Disk(path=folder / "persist.img", throw_away=True)
    booted = boot(machine(folder, HOST_ARCH, disks=[disk], options=options))

    identity = booted.report["identity"]["identity"]
    assert identity["source"] == "cloud", booted.report["identity"]["attempts"]
    assert identity["fields"]["instance_uuid"] == {"value": UUID, "source": "cloud", "place": "user-data line 1"}
    # The root gets the interface as if nobody had used it.
    assert booted.results["addresses"] == ""
    assert not booted.results["flags"] & 1
