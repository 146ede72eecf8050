# SPDX-License-Identifier: MIT
"""Collects what a source says under our keys: decodes, joins places that say the same, refuses contradictions.

said = Gathering()
said.add_bytes("instance_uuid", b"6f1c…\\n", "opt/com.powernode/instance_uuid")
said.material("no key of ours")
"""

from __future__ import annotations

from powernode.agent.identity.fields import AnchorError, refusal
from powernode.agent.identity.model import KEYS, Entry, Material

_MOST_SHOWN = 8


class Gathering:
    """Unknown keys are not an error, an older agent meets a newer platform: they are named in the remark."""

    __slots__ = ("_entries", "_unknown")

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._unknown: list[str] = []

    def ignore(self, key: str) -> None:
        """Notes a key that is not one of ours."""
        self._unknown.append(key)

    def add(self, key: str, value: str, place: str) -> None:
        if key not in KEYS:
            self.ignore(key)
            return
        before = self._entries.setdefault(key, Entry(value, place))
        if before.value != value:
            # Which one is meant cannot be known, and the difference may be between two platforms.
            raise AnchorError("identity.conflict", f"{before.place} and {place} contradict each other")

    def add_bytes(self, key: str, value: bytes, place: str) -> None:
        """One value from a file or a table, which may end in a line break."""
        if key not in KEYS:
            self.ignore(key)
            return
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            raise refusal(key, f"{place} is not UTF-8 text") from None
        self.add(key, text.rstrip("\r\n\0"), place)

    def material(self, nothing: str) -> Material:
        """`nothing` is why the source does not apply if it said nothing."""
        remark = "" if self._entries else nothing
        if self._unknown:
            names = ", ".join(ascii(name[:40])[1:-1] for name in self._unknown[:_MOST_SHOWN])
            remark += f"{'; ' if remark else ''}unknown keys ignored: {names}"
        return Material(self._entries, remark)
