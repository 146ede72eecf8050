# SPDX-License-Identifier: MIT
"""A machine as a folder: what a test writes below it is what the sources see."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from powernode.agent.identity.cascade import resolve
from powernode.agent.identity.model import Attempt, Identity, Material, Resolution
from powernode.agent.identity.surroundings import Deadline, Surroundings

UUID = "6f1c2b3a-0d4e-4f5a-8b6c-7d8e9fa0b1c2"
OTHER = "11111111-2222-4333-8444-555555555555"
FW_CFG = "sys/firmware/qemu_fw_cfg/by_name/opt"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"


class Clock:
    """Stands still unless somebody sleeps or a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, content: bytes | str) -> None:
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content if isinstance(content, bytes) else content.encode())

    def cmdline(self, **words: str) -> None:
        self.put(
            "proc/cmdline", " ".join(["quiet", *(f"powernode.{key}={value}" for key, value in words.items())]) + "\n"
        )

    def fw_cfg(self, **files: str) -> None:
        for key, value in files.items():
            self.put(f"{FW_CFG}/com.powernode/{key}/raw", value)

    def smbios(self, *strings: bytes, entry: str = "11-0") -> None:
        self.put(f"sys/firmware/dmi/entries/{entry}/raw", oem_strings(*strings))

    def around(self, **ports: Any) -> Surroundings:
        ports = {"clock": time.monotonic, "sleep": time.sleep, **ports}
        return Surroundings(root=str(self.root), **ports)

    def resolve(self, *, ports: dict[str, Any] | None = None, **options: Any) -> Resolution:
        return resolve(self.around(**(ports or {})), **options)


def oem_strings(*strings: bytes) -> bytes:
    return bytes([11, 5, 0x12, 0x11, len(strings)]) + (b"".join(s + b"\0" for s in strings) or b"\0") + b"\0"


def plenty() -> Deadline:
    return Deadline(time.monotonic, 60)


def identity(resolution: Resolution) -> Identity:
    assert resolution.identity is not None, resolution.attempts
    return resolution.identity


def attempt(resolution: Resolution, source: str) -> Attempt:
    (found,) = [attempt for attempt in resolution.attempts if attempt.source == source]
    return found


def values(material: Material) -> dict[str, str]:
    return {key: entry.value for key, entry in material.entries.items()}
