# SPDX-License-Identifier: MIT
"""tar-split data: everything of the tar archive but the contents, so that who has those can make it again.

A line of JSON per piece, with its number: the bytes between two contents (`type` 2, base64), and a file with its name,
size and CRC-64 (`type` 1). Podman pulls parts of a layer only if this is there and agrees with the table of contents.

    lines = TarSplit(); lines.raw(header); lines.file(b"etc/motd", 3, checksum); lines.text()
"""

from __future__ import annotations

import base64
import json

__all__ = ["TarSplit"]


class TarSplit:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def raw(self, data: bytes) -> None:
        self._add(f'"payload":"{base64.b64encode(data).decode()}","position":', 2)

    def file(self, name: bytes, size: int, checksum: bytes | None) -> None:
        payload = f'"{base64.b64encode(checksum).decode()}"' if checksum else "null"
        shown = json.dumps(name.decode())
        self._add(f'"name":{shown},"payload":{payload},"position":', 1, f',"size":{size}')

    def text(self) -> bytes:
        return "".join(self._lines).encode("ascii")

    def _add(self, members: str, kind: int, size: str = "") -> None:
        self._lines.append(f'{{{members}{len(self._lines)}{size},"type":{kind}}}\n')
