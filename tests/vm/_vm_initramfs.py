# SPDX-License-Identifier: MIT
"""A small initramfs for tests: busybox, this machine's Python with what a script imports, our sources, kernel modules.

data = build(kernel.closure(("erofs", "overlay")), script=Path("_guest.py"), files={"tiny.erofs": image})
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from vm._vm_kernel import VmUnavailableError

SOURCES = Path(__file__).resolve().parents[2] / "src"

_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t tmpfs tmpfs /run
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
echo  # ends the line on which the firmware left its escape sequences
PYTHONPATH=/guest {python} -S -B /guest/{script}
echo "@@ exit $?"
/bin/busybox poweroff -f
"""

# Prints the files behind every module of the interpreter that runs it, after importing what the command line names.
_CLOSURE = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
for module in list(sys.modules.values()):
    for path in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
        if path and not path.startswith(sys.argv[1]):
            print(path)
"""


class Cpio:
    """A `newc` archive in memory."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._paths: set[str] = set()

    def add(self, path: str, data: bytes = b"", mode: int = stat.S_IFREG | 0o644, mtime: int = 0) -> None:
        path = path.strip("/")
        if path in self._paths:
            return
        if "/" in path:
            self.add(path.rpartition("/")[0], mode=stat.S_IFDIR | 0o755)
        self._paths.add(path)
        self._entry(path, data, mode, mtime)

    def add_file(self, source: str, path: str | None = None) -> None:
        """A file of this machine; symbolic links are followed."""
        status = os.stat(source)
        self.add(path or source, Path(source).read_bytes(), stat.S_IFREG | status.st_mode & 0o777, int(status.st_mtime))

    def finish(self) -> bytes:
        self._entry("TRAILER!!!", b"", 0, 0)
        packer = zlib.compressobj(1, wbits=31)
        return packer.compress(b"".join(self._parts)) + packer.flush()

    def _entry(self, path: str, data: bytes, mode: int, mtime: int) -> None:
        name = path.encode() + b"\0"
        fields = (len(self._paths), mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self._parts += [head + bytes(-len(head) % 4), data + bytes(-len(data) % 4)]


def build(
    modules: Iterable[tuple[str, bytes]], *, script: Path, imports: Iterable[str], files: Mapping[str, bytes]
) -> bytes:
    """An initramfs whose init runs `script` with `files` beside it in `/guest`, then powers off."""
    archive = Cpio()
    python = _interpreter()
    busybox = shutil.which("busybox")
    if busybox is None or "not a dynamic executable" not in _ldd(busybox):
        raise VmUnavailableError("no static busybox here (Debian: busybox-static)")
    archive.add_file(os.path.realpath(busybox), "bin/busybox")
    archive.add("init", _INIT.format(python=python, script=script.name).encode(), stat.S_IFREG | 0o755)
    order = []
    for name, data in modules:
        order.append(name)
        archive.add(f"modules/{name}", data)
    archive.add("modules/order", "\n".join(order).encode())
    for path in _python_files(python, imports):
        archive.add_file(path)
    for source in sorted(SOURCES.rglob("*.py")):
        archive.add_file(str(source), f"guest/{source.relative_to(SOURCES)}")
    archive.add_file(str(script), f"guest/{script.name}")
    for name, data in files.items():
        archive.add(f"guest/{name}", data)
    return archive.finish()


def _interpreter() -> str:
    """The distribution's Python if it is new enough, else the one that runs the tests."""
    system = "/usr/bin/python3"
    if os.path.exists(system) and _output(system, "-c", "import sys; print(sys.version_info >= (3, 11))") == "True\n":
        return system
    return os.path.realpath(sys.executable)


def _python_files(python: str, imports: Iterable[str]) -> list[str]:
    environment = {"PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-S", "-c", _CLOSURE, str(SOURCES), *imports]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = {path for path in result.stdout.splitlines() if os.path.exists(path)}
    binaries = [python, *(path for path in found if path.endswith(".so"))]
    for binary in binaries:
        found.update(re.findall(r"(/\S+) \(0x", _ldd(binary)))
    # What the interpreter looks for to find its own library.
    prefix = next(path for path in found if path.endswith("/os.py")).removesuffix("os.py")
    return [python, *sorted(found), prefix + "os.py"]


def _ldd(binary: str) -> str:
    return _output("ldd", binary)


def _output(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return result.stdout + result.stderr
