# SPDX-License-Identifier: MIT
"""The initramfs: which file comes from which input, and the archive they become.

Invariants: equal inputs give equal bytes; every library something needs is there, or the build is refused; each file
belongs to one component, so that the size report adds up. Nothing is run.

Out of scope: which packages, modules and configuration: the caller's plan says; compressing (image.pack).

    parts = assemble(Contents(arch="amd64", …))
    packed = pack(parts, Path(".cache"))
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from powernode.archive import cpio
from powernode.image import elf, kernel, library
from powernode.image.runtime.interpreter import PROGRAM, Interpreter
from powernode.image.trees import Trees

__all__ = ["AGENT_SHARE", "Component", "Contents", "Part", "assemble"]

_TOOLS = ("usr/sbin/e2fsck",)
_OPENED_LATER = (
    "libgcc_s.so.1",  # by libc in pthread_exit, which ends Python's daemon threads: without it the process aborts
    "libcrypto.so.3",  # by our library, for signatures
)
_BUSYBOX = "usr/bin/busybox"
_CERTIFICATES = "usr/share/ca-certificates/mozilla"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_MODULES = "etc/powernode/modules"
_AGENT = b'#!/bin/sh\nexec python3.13 -I -S -m powernode.cli.agent "$@"\n'
"""For people in a recovery shell; init goes the direct way."""

# Folders that things are mounted on, and the links that merge / with /usr.
_FOLDERS = ("dev", "persist", "proc", "run", "sys", "sysroot", "tmp", "usr/bin", "usr/sbin", "usr/lib")
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "usr/bin/sh": "busybox"}


class Component(Enum):
    """In the order of the archive: the folders and links of `config` first."""

    CONFIG = "config"
    BUSYBOX = "busybox"
    INTERPRETER = "interpreter"
    LIBRARIES = "libraries"
    NATIVE = "native"
    TLS = "tls"
    AGENT = "agent"
    STORAGE = "storage"
    KERNEL_MODULES = "kernel-modules"


AGENT_SHARE = (Component.AGENT, Component.INTERPRETER, Component.LIBRARIES, Component.NATIVE, Component.TLS)
"""What is there for the agent's sake: it has a budget of 8 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    component: Component
    entry: cpio.Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """`trees` are the unpacked packages of the lock's group `initramfs`; `config` is files by path."""

    arch: str
    trees: Trees
    interpreter: Interpreter
    native: bytes
    modules: tuple[kernel.Module, ...]
    init: bytes
    config: Mapping[str, bytes]


def assemble(contents: Contents) -> list[Part]:
    """Every file of the initramfs."""
    parts = [Part(component=Component.CONFIG, entry=entry) for entry in _skeleton(contents)]
    binaries = _binaries(contents)
    parts += [_file(component, path, data, 0o755) for path, (component, data) in binaries.items()]
    for component, files in (
        (Component.INTERPRETER, contents.interpreter.python),
        (Component.AGENT, contents.interpreter.own),
        (Component.CONFIG, contents.config),
        (Component.TLS, {_BUNDLE: _bundle(contents.trees)}),
        (Component.KERNEL_MODULES, {module.path: module.data for module in contents.modules}),
    ):
        parts += [_file(component, path, data) for path, data in files.items() if path not in binaries]
    return parts


def _skeleton(contents: Contents) -> list[cpio.Entry]:
    return [
        cpio.file("init", contents.init, 0o755),
        cpio.file("usr/bin/powernode-agent", _AGENT, 0o755),
        cpio.file(_MODULES, "".join(f"{module.name}\n" for module in contents.modules).encode()),
        *_where_modules_are(contents.modules),
        # Until devtmpfs is mounted, init's messages go here.
        cpio.device("dev/console", stat.S_IFCHR | 0o600, 5, 1),
        cpio.symlink("usr/lib/ssl/cert.pem", f"/{_BUNDLE}"),  # where Debian's OpenSSL looks by itself
        *(cpio.directory(path, 0o1777 if path == "tmp" else 0o755) for path in _FOLDERS),
        *(cpio.symlink(path, target) for path, target in _LINKS.items()),
    ]


def _where_modules_are(modules: Sequence[kernel.Module]) -> list[cpio.Entry]:
    """What modprobe asks for a module's file. Their order is in the list, so no line has to say what a module needs."""
    lines: dict[str, str] = {}
    for module in modules:
        *top, inside = module.path.split("/", 4)  # usr/lib/modules/RELEASE/…
        folder = "/".join(top)
        lines[folder] = lines.get(folder, "") + f"{inside}:\n"
    return [cpio.file(f"{folder}/modules.dep", text.encode()) for folder, text in lines.items()]


def _binaries(contents: Contents) -> dict[str, tuple[Component, bytes]]:
    """Everything the loader touches. A library that several need belongs to the first: Python's, then the tools'."""
    python = {
        path: data for path, data in contents.interpreter.python.items() if path == PROGRAM or path.endswith(".so")
    }
    folder = f"usr/lib/{elf.TRIPLETS[contents.arch]}"
    later = {f"{folder}/{name}": contents.trees.read(f"{folder}/{name}") for name in _OPENED_LATER}
    tools = {path: contents.trees.read(path) for path in _TOOLS}
    busybox = {_BUSYBOX: contents.trees.read(_BUSYBOX)}
    found: dict[str, tuple[Component, bytes]] = {}
    for own, programs, rest in (
        (Component.INTERPRETER, python, Component.LIBRARIES),
        (Component.NATIVE, {library.PATH: contents.native}, Component.LIBRARIES),
        (Component.LIBRARIES, later, Component.LIBRARIES),
        (Component.BUSYBOX, busybox, Component.BUSYBOX),
        (Component.STORAGE, tools, Component.STORAGE),
    ):
        for path, data in elf.closure(contents.trees, programs, contents.arch).items():
            found.setdefault(path, (own if path in programs else rest, data))
    return found


def _bundle(trees: Trees) -> bytes:
    """The certificates of the public authorities in one file, as update-ca-certificates makes it."""
    names = [name for name in trees.names(_CERTIFICATES) if name.endswith(".crt")]
    return b"".join(trees.read(f"{_CERTIFICATES}/{name}").rstrip(b"\n") + b"\n" for name in names)


def _file(component: Component, path: str, data: bytes, permissions: int = 0o644) -> Part:
    return Part(component=component, entry=cpio.file(path, data, permissions))
