# SPDX-License-Identifier: MIT
"""The source `smbios`: OEM strings (type 11) in systemd's form, `io.systemd.credential:powernode.KEY=VALUE`.

`io.systemd.credential.binary:powernode.KEY=BASE64` carries values that are no plain text. The tables come from the
firmware, that is from elsewhere: a structure that breaks its own lengths is refused, other strings are not ours.

    strings(raw)        # [b"io.systemd.credential:powernode.instance_uuid=…", …]
"""

from __future__ import annotations

import binascii

from powernode.agent.identity.fields import refusal
from powernode.agent.identity.gather import Gathering
from powernode.agent.identity.model import Material
from powernode.agent.identity.surroundings import Deadline, Surroundings
from powernode.base.errors import DataError

_ENTRIES = "sys/firmware/dmi/entries"
_OEM_STRINGS = 11
_HEADER_SIZE = 5  # type, length, handle (2), number of strings
_MOST_STRUCTURES = 64
_TEXT = b"io.systemd.credential:"
_BINARY = b"io.systemd.credential.binary:"


def read(around: Surroundings, deadline: Deadline) -> Material:
    names = [name for name in around.names(_ENTRIES) if name.startswith("11-")]
    if not names:
        return Material({}, "the firmware has no OEM strings")
    if len(names) > _MOST_STRUCTURES:
        raise DataError(
            "identity.smbios",
            f"the firmware has {len(names)} structures of OEM strings",
            expected=f"at most {_MOST_STRUCTURES}",
        )
    said = Gathering()
    for name in sorted(names, key=lambda name: (len(name), name)):
        deadline.remaining()
        raw = around.read(f"{_ENTRIES}/{name}/raw")
        for number, string in enumerate(strings(raw or b"", name), 1):
            _credential(said, string, f"{name} string {number}")
    return said.material("no powernode.* credential among the OEM strings")


def strings(raw: bytes, name: str = "11-0") -> list[bytes]:
    """The strings of one structure, without their terminators."""
    if len(raw) < _HEADER_SIZE or raw[0] != _OEM_STRINGS or not _HEADER_SIZE <= raw[1] <= len(raw):
        raise DataError("identity.smbios", f"SMBIOS entry {name} is no structure of OEM strings")
    body = raw[raw[1] :]
    end = body.find(b"\0\0")
    if end < 0:
        raise DataError("identity.smbios", f"the strings of SMBIOS entry {name} do not end")
    return [string for string in body[:end].split(b"\0") if string]


def _credential(said: Gathering, string: bytes, place: str) -> None:
    for prefix in (_TEXT, _BINARY):
        if not string.startswith(prefix + b"powernode."):
            continue
        name, equals, value = string[len(prefix + b"powernode.") :].partition(b"=")
        key = name.decode("ascii", "replace")
        if not equals:
            raise DataError("identity.smbios", f"{place} is a credential without a value")
        if prefix is _BINARY:
            try:
                value = binascii.a2b_base64(value, strict_mode=True)
            except ValueError:
                raise refusal(key, f"{place} is not base64") from None
        said.add_bytes(key, value, place)
