# SPDX-License-Identifier: MIT
"""Runs inside the virtual machine: say what a power cut left of a pointer and what it points to, then go on changing.

Prints `@@ state …` once, then `@@ done N` after each round of changes. Whether to write is in `/guest/write`.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from powernode.base.durable import remove_durably, replace_symlink, write_durably

FOLDER = "/disk/sets"
GOOD = f"{FOLDER}/good"
ATTEMPTS = f"{FOLDER}/attempts"


def tell(name: str, value: Any) -> None:
    print(f"@@ {name} {json.dumps(value)}", flush=True)


def name_of(number: int) -> str:
    """As long as a set's name: too long for a symbolic link inside the inode."""
    return f"{number:064x}.json"


def content(number: int) -> bytes:
    return f"{number} ".encode() * (1 + number % 40 * 300)


def state() -> dict[str, Any]:
    """The round that each name stands for, None where it is not whole, and what else is there."""
    target = os.readlink(GOOD)
    number = int(target.removesuffix(".json"), 16)
    with open(f"{FOLDER}/{target}", "rb") as file:
        is_whole = file.read() == content(number)
    with open(ATTEMPTS, "rb") as file:
        attempts = file.read()
    tried = int(attempts.split()[0])
    others = sorted(set(os.listdir(FOLDER)) - {"good", "attempts", target})
    return {
        "good": number if is_whole else None,
        "attempts": tried if attempts == content(tried) else None,
        "temporary": [name for name in others if name.endswith(".tmp")],
        "sets": [int(name.removesuffix(".json"), 16) for name in others if name.endswith(".json")],
    }


def change(number: int) -> None:
    write_durably(f"{FOLDER}/{name_of(number)}", content(number), mode=0o644)
    replace_symlink(GOOD, name_of(number))
    write_durably(ATTEMPTS, content(number), mode=0o600)
    remove_durably(f"{FOLDER}/{name_of(number - 1)}")


def main() -> None:
    os.makedirs("/disk")
    subprocess.run(["/bin/busybox", "mount", "-t", "ext4", "/dev/vda", "/disk"], check=True)
    number = 0
    if os.path.exists(FOLDER):
        tell("state", state())
        number = int(os.readlink(GOOD).removesuffix(".json"), 16)
        for name in os.listdir(FOLDER):
            if name.endswith(".json") and name != name_of(number):
                remove_durably(f"{FOLDER}/{name}")
    else:
        os.makedirs(FOLDER)
        os.sync()
        tell("state", None)
        change(number)
    if not os.path.exists("/guest/write"):
        return
    while True:
        number += 1
        change(number)
        tell("done", number)


if __name__ == "__main__":
    main()
