# SPDX-License-Identifier: MIT
"""The source `local_file`: the instance UUID alone on a line in /etc/powernode/local-id.

It is put into an image or onto a disk by hand, so it holds nothing secret; lines that begin with `#` are comments.
"""

from __future__ import annotations

from powernode.agent.identity.gather import Gathering
from powernode.agent.identity.model import Material
from powernode.agent.identity.surroundings import Deadline, Surroundings
from powernode.base.errors import DataError

_PATH = "etc/powernode/local-id"
_LIMIT = 4096


def read(around: Surroundings, deadline: Deadline) -> Material:
    data = around.read(_PATH, _LIMIT)
    if data is None:
        return Material({}, f"no /{_PATH}")
    lines = [line.strip() for line in data.splitlines()]
    lines = [line for line in lines if line and not line.startswith(b"#")]
    if len(lines) != 1:
        raise DataError("identity.syntax", f"/{_PATH} has {len(lines)} lines", expected="one line, the instance UUID")
    said = Gathering()
    said.add_bytes("instance_uuid", lines[0], f"/{_PATH}")
    return said.material("")
