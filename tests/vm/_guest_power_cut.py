# SPDX-License-Identifier: MIT
"""Runs inside the virtual machine: check what the last power cut left of the store, then write until the next one.

Prints `@@ check …` once, then `@@ batch [FIRST, COUNT, SIZE]` after each commit. Whether to write is in `/guest/write`.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from powernode.composefs.store import ObjectStore
from vm._reference import file_digest

BATCHES = ((1, 30_000), (3, 5000), (40, 300), (25, 9000))


def tell(name: str, value: Any) -> None:
    print(f"@@ {name} {json.dumps(value)}", flush=True)


def content(number: int, size: int) -> bytes:
    return f"object {number} ".encode() * (size // 8)


def digest_fd(fd: int) -> bytes:
    return file_digest(os.pread(fd, 1 << 24, 0))


def main() -> None:
    os.makedirs("/disk")
    subprocess.run(["/bin/busybox", "mount", "-t", "ext4", "/dev/vda", "/disk"], check=True)
    store = ObjectStore.create("/disk/objects")
    report = store.fsck(digest_fd)
    present = {digest.hex() for digest in store.digests()}
    collected = store.gc(list(store.digests()))
    tell(
        "check",
        {
            "damaged": [f"{item.digest.hex()} {item.reason}" for item in report.damaged],
            "misnamed": report.misnamed,
            "unsealed": len(report.unsealed),
            "temporary": len(report.temporary),
            "clean_after_gc": store.fsck(digest_fd).is_clean and collected.removed == (),
            "count": len(present),
        },
    )
    with open("/guest/start") as file:
        number = int(file.read())
    with open("/guest/promised") as file:
        promised: list[list[int]] = json.load(file)
    lost = [
        [first, count]
        for first, count, size in promised
        for item in range(first, first + count)
        if file_digest(content(item, size)).hex() not in present
    ]
    tell("lost", lost)
    if not os.path.exists("/guest/write"):
        return
    while True:
        for count, size in BATCHES:
            with store.batch(jobs=2) as batch:
                for item in range(number, number + count):
                    data = content(item, size)
                    batch.add_bytes(data, file_digest(data))
            tell("batch", [number, count, size])
            number += count


if __name__ == "__main__":
    main()
