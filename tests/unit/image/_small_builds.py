# SPDX-License-Identifier: MIT
"""A variant as small as can be, from packages made here: real steps and a real archive on the loopback, no downloads.

The kernel is some bytes with a real configuration; the initramfs has a file of every kind of origin.
"""

from __future__ import annotations

import functools
import http.server
import io
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from powernode.archive import cpio
from powernode.cli.image.options import host_arch
from powernode.debian import lock as locks
from powernode.debian.inputs import Inputs
from powernode.debian.lock import Lock, LockedPackage
from powernode.image.build import Sources
from powernode.image.initramfs import Component, Part
from powernode.image.pack import pack, unpack
from powernode.image.plan import Plan, Step, Workspace
from powernode.image.request import Request
from powernode.image.steps.initramfs import INITRAMFS
from powernode.image.steps.kernel import TakeKernel
from powernode.image.steps.persist import WritePersist
from powernode.module.directory import Facts, Module, from_tree, write
from unit.archive._debs import Item, deb, directories
from unit.image._elf_files import module as kernel_module
from unit.image.test_kconfig import GOOD

ARCH = host_arch()
RELEASE = "6.12.0-small"
KERNEL = f"linux-image-{RELEASE}"
MODULE = f"usr/lib/modules/{RELEASE}/kernel/fs/erofs.ko"
CODE = "usr/lib/python3.13/powernode/agent/boot.pyc"

needs_e2fsprogs = pytest.mark.skipif(
    not all(shutil.which(tool, path=f"{os.defpath}:/usr/sbin:/sbin") for tool in ("mke2fs", "debugfs", "e2fsck")),
    reason="e2fsprogs is not here to make the disk with",
)


def kernel_deb(config: str = GOOD) -> bytes:
    folders = ["./", "./boot/", "./usr/", "./usr/lib/", "./usr/lib/modules/", f"./usr/lib/modules/{RELEASE}/"]
    folders += [f"./usr/lib/modules/{RELEASE}/kernel/", f"./usr/lib/modules/{RELEASE}/kernel/fs/"]
    folders += [f"./usr/lib/linux-image-{RELEASE}/", f"./usr/lib/linux-image-{RELEASE}/maker/"]
    return deb(
        *directories(*folders),
        Item(f"./boot/vmlinuz-{RELEASE}", b"kernel" * 2000),
        Item(f"./boot/config-{RELEASE}", config.encode()),
        Item(f"./usr/lib/modules/{RELEASE}/modules.builtin", b""),
        Item(f"./{MODULE}", kernel_module("depends=")),
        Item(f"./usr/lib/linux-image-{RELEASE}/maker/board.dtb", b"tree" * 100),
    )


def busybox_deb() -> bytes:
    return deb(*directories("./", "./usr/", "./usr/bin/"), Item("./usr/bin/busybox", b"busy" * 5000, mode=0o755))


class Archive:
    """Serves a folder; `put` makes a package of it, and says how a lock pins it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def put(self, name: str, content: bytes) -> LockedPackage:
        path = f"pool/main/{name}_1_{ARCH}.deb"
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_bytes(content)
        digest = sha256(content).hexdigest()
        return LockedPackage(name=name, version="1", architecture=ARCH, filename=path, size=len(content), sha256=digest)

    def path(self, filename: str) -> Path:
        return self.folder / filename


@contextmanager
def serve(folder: Path) -> Iterator[Archive]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Archive(folder, f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()


def lock_of(archive: Archive, config: str = GOOD) -> Lock:
    kernel = archive.put(KERNEL, kernel_deb(config))
    return Lock(
        arch=ARCH,
        suite="trixie",
        groups={"initramfs": (archive.put("busybox-static", busybox_deb()),), "kernel-cloud": (kernel,)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSome:
    """An initramfs with a file from each kind of place."""

    init: str

    def describe(self) -> str:
        return "pack some files"

    def run(self, workspace: Workspace) -> None:
        busybox = workspace.inputs.tree("busybox-static") / "usr/bin/busybox"
        module = workspace.inputs.tree(KERNEL) / MODULE
        files = {
            Component.CONFIG: {"init": self.init.encode(), "etc/powernode/config.json": b'{"version":1}'},
            Component.BUSYBOX: {"usr/bin/busybox": busybox.read_bytes()},
            Component.KERNEL_MODULES: {MODULE: module.read_bytes()},
            Component.AGENT: {CODE: b"code"},
            Component.NATIVE: {"usr/lib/powernode/libpowernode.so": b"library"},
        }
        parts = [
            Part(component=component, entry=cpio.file(path, data))
            for component, group in files.items()
            for path, data in group.items()
        ]
        packed = pack(parts, workspace.cache)
        (workspace.out / INITRAMFS).write_bytes(packed.data)
        workspace.tools["zstd"] = ".".join(map(str, zstandard.ZSTD_VERSION))
        workspace.facts["components"] = {
            component.value: {"bytes": size.raw, "packed_bytes": size.packed}
            for component, size in packed.sizes.items()
        }


def plan(request: Request, lock: Lock, host_lock: Lock, checkout: Path) -> Plan:
    """The variant `small`."""
    (kernel,) = lock.group("kernel-cloud")
    steps: list[Step] = [
        TakeKernel(package=kernel.name, floor=request.floor, dtb=None, cmdline="console=small"),
        PackSome(init="#!/bin/sh\n"),
    ]
    if request.root is not None:
        steps.append(WritePersist.of(request))
    return plan_of(*steps, lock=lock)


def plan_of(*steps: Step, lock: Lock) -> Plan:
    packages = (*lock.group("kernel-cloud"), *lock.group("initramfs"))
    return Plan(
        variant="small",
        arch=ARCH,
        board="qemu",
        packages=tuple(f"{item.name} {item.version} {item.architecture} {item.sha256}" for item in packages),
        steps=steps,
    )


def sources(lock: Lock, cache: Path, archive: Archive) -> Sources:
    inputs = Inputs(lock, cache, archive.url, pause=lambda _: None, newest=lambda _: "2")
    return Sources(inputs=inputs, host_inputs=inputs, cache=cache)


def module_in(folder: Path, name: str = "tiny", *, priority: int = 1000, architecture: str = ARCH) -> Module:
    tree = folder / f"{name}-tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / name).write_bytes(f"{name}\n".encode() * 2000)
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (0, 0))
    facts = Facts(name=name, version="1", architecture=architecture, effective_priority=priority)
    return write(folder / name, facts, from_tree(tree))


def write_lock(path: Path, lock: Lock, *, arch: str = ARCH) -> Path:
    path.write_bytes(locks.encode(replace(lock, arch=arch)))
    return path


def repack(data: bytes, changes: Sequence[cpio.Entry], without: str = "") -> bytes:
    """An initramfs as somebody would make it who has no right to: files replaced, added, removed."""
    entries = {entry.path: entry for entry in (*unpack(data), *changes) if entry.path != without}
    out = io.BytesIO()
    cpio.write(out, list(entries.values()), mtime=0)
    return zstandard.ZstdCompressor(level=3).compress(out.getvalue())
