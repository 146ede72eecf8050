# SPDX-License-Identifier: MIT
"""Runs inside the virtual machine: many files sealed by the C library and by plain Python, on a kernel that enforces.

Prints one `@@ NAME JSON` line per finding and judges nothing; `test_seal_vm.py` does.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
from collections import Counter
from typing import Any

from powernode import native
from powernode.linux import fsverity
from powernode.linux.seal import Watch, seal_files
from vm._reference import file_digest

COUNT = 200
Entry = tuple[str, bytes]


def tell(name: str, value: Any) -> None:
    print(f"@@ {name} {json.dumps(value)}", flush=True)


def mounted(device: str, place: str) -> str:
    os.makedirs(place)
    subprocess.run(["/bin/busybox", "mount", "-t", "ext4", device, place], check=True)
    return place


def make(folder: str, count: int) -> list[Entry]:
    """Files round the sizes where a Merkle tree grows a level, and what they must measure."""
    os.makedirs(folder, exist_ok=True)
    entries = []
    for number in range(count):
        data = bytes([number % 251]) * [0, 1, 4096, 4097, 20_000, 128 * 4096 + 1][number % 6]
        with open(f"{folder}/f{number}", "wb") as file:
            file.write(data)
        entries.append((f"f{number}", file_digest(data)))
    return entries


def counted(answers: list[int]) -> dict[str, int]:
    return {errno.errorcode.get(number, "good"): count for number, count in sorted(Counter(answers).items())}


def each_way(way: str, disk: str) -> None:
    """Everything about one folder, through the door that is open."""
    folder = f"{disk}/{way}"
    entries = make(folder, COUNT)
    fd = os.open(folder, os.O_RDONLY)
    tell(f"{way}-before", counted(seal_files(fd, entries, measure_only=True)))
    os.symlink("f2", f"{folder}/link")
    writer = os.open(f"{folder}/f3", os.O_WRONLY)
    wrong = [*entries, ("missing", entries[0][1]), ("link", entries[2][1])]
    wrong[1] = ("f1", entries[2][1])
    watch = Watch()
    answers = seal_files(fd, wrong, threads=4, watch=watch)
    os.close(writer)
    tell(f"{way}-first", [counted(answers), *(errno.errorcode[answers[n]] for n in (1, 3, COUNT, COUNT + 1))])
    tell(f"{way}-watch", [watch.files, watch.size_bytes, watch.cancelled])
    tell(f"{way}-again", counted(seal_files(fd, entries)))
    tell(f"{way}-after", counted(seal_files(fd, entries, measure_only=True)))
    tell(f"{way}-kernel", all(measured(f"{folder}/{name}") == ("sha256", digest) for name, digest in entries))
    os.close(fd)


def measured(path: str) -> tuple[str, bytes]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return fsverity.measure(fd)
    finally:
        os.close(fd)


def full_disk(way: str, disk: str) -> None:
    """A file whose Merkle tree does not fit, then others that would."""
    data = bytes(8 << 20)
    with open(f"{disk}/big", "wb") as file:
        file.write(data)
    entries = [("big", file_digest(data)), *make(disk, 3)]
    os.sync()
    with contextlib.suppress(OSError), open(f"{disk}/filler", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    fd = os.open(disk, os.O_RDONLY)
    tell(f"{way}-full", [errno.errorcode.get(number) for number in seal_files(fd, entries, threads=1)])
    os.unlink(f"{disk}/filler")
    os.sync()
    tell(f"{way}-room", counted(seal_files(fd, entries, threads=1)))
    for name, _ in entries:
        os.unlink(f"{disk}/{name}")
    os.close(fd)


def main() -> None:
    disk, small, plain = mounted("/dev/vda", "/disk"), mounted("/dev/vdb", "/small"), mounted("/dev/vdc", "/plain")
    ways = {"c": "require", "python": "off"}
    for way, mode in ways.items():
        os.environ["POWERNODE_NATIVE"] = mode
        native.reset()
        library = native.library()
        tell(f"{way}-door", library.door if library else None)
        each_way(way, disk)
        full_disk(way, small)
        for name, folder in (("plain", plain), ("tmpfs", "/run")):
            fd = os.open(folder, os.O_RDONLY)
            tell(f"{way}-{name}", counted(seal_files(fd, make(folder, 3))))
            os.close(fd)
    entries = make(f"{disk}/new", 2)
    sealed = [(f"f{number}", measured(f"{disk}/c/f{number}")[1]) for number in range(6)]
    subprocess.run(["/bin/busybox", "mount", "-o", "remount,ro", disk], check=True)
    for way, mode in ways.items():
        os.environ["POWERNODE_NATIVE"] = mode
        native.reset()
        found = []
        for folder, some in (("new", entries), ("c", sealed)):
            fd = os.open(f"{disk}/{folder}", os.O_RDONLY)
            found.append(counted(seal_files(fd, some)))
            os.close(fd)
        tell(f"{way}-read-only", found)


main()
