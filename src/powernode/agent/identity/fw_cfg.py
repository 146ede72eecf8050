# SPDX-License-Identifier: MIT
"""The source `fw_cfg`: files that QEMU hands to its guest (`-fw_cfg name=opt/com.powernode/instance_uuid,string=…`).

Two names for each key: opt/com.powernode/KEY, and opt/io.systemd.credentials/powernode.KEY as systemd names it. Both
may be there if they say the same.
"""

from __future__ import annotations

from powernode.agent.identity.fields import ANCHORS, AnchorError
from powernode.agent.identity.gather import Gathering
from powernode.agent.identity.model import KEYS, Material
from powernode.agent.identity.surroundings import Deadline, Surroundings
from powernode.base.errors import DataError

_ROOT = "sys/firmware/qemu_fw_cfg/by_name"
_OWN = "opt/com.powernode"
_CREDENTIALS = "opt/io.systemd.credentials"


def read(around: Surroundings, deadline: Deadline) -> Material:
    if not around.names(_ROOT):
        return Material({}, "no fw_cfg device, or its module is not loaded")
    said = Gathering()
    for folder, prefix in ((_OWN, ""), (_CREDENTIALS, "powernode.")):
        for name in around.names(f"{_ROOT}/{folder}"):
            if not name.startswith(prefix):
                continue
            deadline.remaining()
            key, place = name.removeprefix(prefix), f"{folder}/{name}"
            # The value of an unknown key is not read: it may be of any size.
            value = _value(around, key, place) if key in KEYS else b""
            if value is not None:
                said.add_bytes(key, value, place)
    return said.material(f"nothing in {_OWN}, no powernode.* in {_CREDENTIALS}")


def _value(around: Surroundings, key: str, place: str) -> bytes | None:
    try:
        return around.read(f"{_ROOT}/{place}/raw")
    except DataError as error:
        if key in ANCHORS:
            raise AnchorError(error.code, error.message, expected=error.expected) from error
        raise
