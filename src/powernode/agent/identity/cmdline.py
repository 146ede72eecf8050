# SPDX-License-Identifier: MIT
"""The source `cmdline`: powernode.* words of the kernel command line.

What is no identity (powernode.boot, powernode.root_digest, …) is read elsewhere. `powernode.ca_pem` is base64 of PEM,
because a command line has no line breaks.
"""

from __future__ import annotations

from powernode.agent.identity.fields import AnchorError
from powernode.agent.identity.gather import Gathering
from powernode.agent.identity.model import KEYS, Material
from powernode.agent.identity.surroundings import Deadline, Surroundings
from powernode.base.errors import DataError
from powernode.linux.cmdline import parse

_PREFIX = "powernode."


def read(around: Surroundings, deadline: Deadline) -> Material:
    data = around.read("proc/cmdline")
    if data is None:
        return Material({}, "no /proc/cmdline")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError("identity.encoding", "/proc/cmdline is not UTF-8 text") from None
    words = parse(text)
    said = Gathering()
    for key in KEYS:
        try:
            value = words.get(_PREFIX + key)
        except DataError as error:  # there twice, with different values
            raise AnchorError("identity.conflict", error.message, hint=error.hint) from error
        if value is not None:
            said.add(key, value, _PREFIX + key)
    return said.material("no identity in powernode.* words")
