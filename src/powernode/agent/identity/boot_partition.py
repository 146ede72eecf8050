# SPDX-License-Identifier: MIT
"""The source `boot_partition`: identity.cfg on the FAT filesystem labelled BOOT, for cards written on a laptop.

KEY=VALUE lines: SERVER (the platform's URL), ID (the instance UUID), TOKEN (bootstrap token), CA_PEM_FILE (a file
beside it; powernode-ca.pem is taken without being named). Finding, mounting and reading the partition is the port's
part.
"""

from __future__ import annotations

from powernode.agent.identity import keyvalue
from powernode.agent.identity.fields import AnchorError
from powernode.agent.identity.gather import Gathering
from powernode.agent.identity.model import Material
from powernode.agent.identity.surroundings import LIMIT, Deadline, Surroundings
from powernode.base.errors import DataError, MachineError

CONFIG = "identity.cfg"
CA_FILE = "powernode-ca.pem"
NO_PARTITION = "identity.no-partition"
_KEYS = {"ID": "instance_uuid", "SERVER": "platform_url", "TOKEN": "bootstrap_token"}


def read(around: Surroundings, deadline: Deadline) -> Material:
    port = around.boot_partition
    if port is None:
        return Material({}, "nothing here can read a boot partition")
    try:
        data = port(CONFIG, LIMIT, deadline.remaining())
    except MachineError as error:
        if error.code != NO_PARTITION:
            raise
        return Material({}, error.message)
    if data is None:
        return Material({}, f"the boot partition has no {CONFIG}")
    said = Gathering()
    named: str | None = None
    for line, name, value in keyvalue.parse(data, CONFIG):
        if name == "CA_PEM_FILE":
            if named not in (None, value):
                raise AnchorError("identity.conflict", f"{CONFIG} line {line} names another CA_PEM_FILE")
            named = value
        elif name in _KEYS:
            said.add(_KEYS[name], value, f"{CONFIG} line {line}")
        else:
            said.ignore(name)
    pem = _ca_file(CA_FILE if named is None else named, around, deadline)
    if pem is not None:
        said.add_bytes("ca_pem", pem, named or CA_FILE)
    elif named is not None:
        raise AnchorError("identity.ca-file", f"{CONFIG} names a CA_PEM_FILE that is not there", found=repr(named[:80]))
    return said.material(f"no key of ours in {CONFIG}")


def _ca_file(name: str, around: Surroundings, deadline: Deadline) -> bytes | None:
    if not name or "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
        raise AnchorError(
            "identity.ca-file",
            "CA_PEM_FILE cannot be used",
            expected=f"a file name beside {CONFIG}",
            found=repr(name[:80]),
        )
    assert around.boot_partition is not None
    try:
        return around.boot_partition(name, LIMIT, deadline.remaining())
    except DataError as error:
        raise AnchorError(error.code, error.message, expected=error.expected) from error
