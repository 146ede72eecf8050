# SPDX-License-Identifier: MIT
"""What an initramfs is made of, with small stand-ins for the packages; tests/interop builds real ones."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest
import zstandard

from powernode.archive import cpio
from powernode.base.errors import DataError
from powernode.image.initramfs import Component, Contents, Part, assemble
from powernode.image.kernel import Module
from powernode.image.pack import pack, unpack
from powernode.image.runtime.interpreter import Interpreter
from powernode.image.trees import Trees
from unit.image._elf_files import AARCH64, program

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
EXTENSION = "usr/lib/python3.13/lib-dynload/_ssl.so"


def dynamic(*needed: str) -> bytes:
    return program(["libc.so.6", *needed], interpreter="/lib64/ld-linux-x86-64.so.2")


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    files = {
        "usr/bin/busybox": program(),
        "usr/sbin/e2fsck": dynamic("libext2fs.so.2"),
        f"{LIBRARIES}/libc.so.6": program(),
        f"{LIBRARIES}/libssl.so.3": program(["libc.so.6"]),
        f"{LIBRARIES}/libcrypto.so.3": program(["libc.so.6"]),
        f"{LIBRARIES}/libgcc_s.so.1": program(["libc.so.6"]),
        f"{LIBRARIES}/libext2fs.so.2": program(["libc.so.6"]),
        LOADER: program(),
        "usr/share/ca-certificates/mozilla/B.crt": b"-----B-----\n\n",
        "usr/share/ca-certificates/mozilla/A.crt": b"-----A-----",
        "usr/share/ca-certificates/mozilla/README": b"not a certificate",
    }
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return Contents(
        arch="amd64",
        trees=Trees([tmp_path]),
        interpreter=Interpreter(
            python={
                "usr/bin/python3.13": dynamic(),
                EXTENSION: program(["libssl.so.3"]),
                "usr/lib/python3.13/os.pyc": b"os",
            },
            own={"usr/lib/python3.13/powernode/__init__.pyc": b"own"},
            amended=(),
        ),
        native=program(["libc.so.6"]),
        modules=(Module(name="overlay", path="usr/lib/modules/6.12/kernel/overlay.ko", data=b"ko"),),
        init=b"#!/bin/busybox sh\n",
        config={"etc/powernode/config.json": b"{}"},
    )


def by_path(parts: list[Part]) -> dict[str, Part]:
    found = {part.entry.path: part for part in parts}
    assert len(found) == len(parts), "every path once"
    return found


def test_every_file_has_its_component(contents: Contents) -> None:
    parts = by_path(assemble(contents))
    assert {path: parts[path].component for path in parts if stat.S_ISREG(parts[path].entry.mode)} == {
        "init": Component.CONFIG,
        "etc/powernode/config.json": Component.CONFIG,
        "etc/powernode/modules": Component.CONFIG,
        "usr/lib/modules/6.12/modules.dep": Component.CONFIG,
        "usr/bin/powernode-agent": Component.CONFIG,
        "usr/bin/busybox": Component.BUSYBOX,
        "usr/bin/python3.13": Component.INTERPRETER,
        EXTENSION: Component.INTERPRETER,
        "usr/lib/python3.13/os.pyc": Component.INTERPRETER,
        "usr/lib/python3.13/powernode/__init__.pyc": Component.AGENT,
        f"{LIBRARIES}/libc.so.6": Component.LIBRARIES,
        f"{LIBRARIES}/libssl.so.3": Component.LIBRARIES,
        f"{LIBRARIES}/libcrypto.so.3": Component.LIBRARIES,
        f"{LIBRARIES}/libgcc_s.so.1": Component.LIBRARIES,
        LOADER: Component.LIBRARIES,
        "usr/lib/powernode/libpowernode.so": Component.NATIVE,
        "usr/sbin/e2fsck": Component.STORAGE,
        f"{LIBRARIES}/libext2fs.so.2": Component.STORAGE,
        "etc/ssl/certs/ca-certificates.crt": Component.TLS,
        "usr/lib/modules/6.12/kernel/overlay.ko": Component.KERNEL_MODULES,
    }


def test_what_init_reads(contents: Contents) -> None:
    parts = by_path(assemble(contents))
    assert parts["etc/powernode/modules"].entry.data == b"overlay\n"
    assert parts["usr/lib/modules/6.12/modules.dep"].entry.data == b"kernel/overlay.ko:\n"
    assert parts["etc/ssl/certs/ca-certificates.crt"].entry.data == b"-----A-----\n-----B-----\n"
    assert parts["init"].entry.mode == stat.S_IFREG | 0o755
    assert parts["dev/console"].entry.device == (5, 1)
    for path in ("bin", "sbin", "lib", "lib64"):
        assert parts[path].entry.data == f"usr/{path}".encode()


def test_programs_can_be_run_and_the_rest_cannot(contents: Contents) -> None:
    executable = {path for path, part in by_path(assemble(contents)).items() if part.entry.mode & 0o7777 == 0o755}
    assert {"init", "usr/bin/python3.13", "usr/sbin/e2fsck", LOADER} <= executable
    assert "usr/lib/python3.13/os.pyc" not in executable


def test_a_library_that_no_package_has_is_refused(contents: Contents) -> None:
    with pytest.raises(DataError) as refusal:
        assemble(dataclasses.replace(contents, native=program(["libgone.so.1"])))
    assert refusal.value.code == "image.elf.missing"


def test_a_program_for_another_architecture_is_refused(contents: Contents) -> None:
    with pytest.raises(DataError) as refusal:
        assemble(dataclasses.replace(contents, native=program(machine=AARCH64)))
    assert refusal.value.code == "image.elf.architecture"


@pytest.mark.parametrize(
    ("defect", "data"),
    [
        ("a bomb", zstandard.ZstdCompressor().compress(bytes(16 << 20))),
        ("half a frame", zstandard.ZstdCompressor().compress(b"x" * 10_000)[:-5]),
        ("no frame", b"0707010000"),
        ("endless frames", zstandard.ZstdCompressor().compress(b"") * 2000),
    ],
)
def test_what_is_no_initramfs(monkeypatch: pytest.MonkeyPatch, defect: str, data: bytes) -> None:
    monkeypatch.setattr("powernode.image.pack._MAX_BYTES", 1 << 20)
    with pytest.raises(DataError) as caught:
        list(unpack(data))
    assert caught.value.code in ("image.initramfs.damaged", "archive.cpio.damaged"), defect


def test_packing_and_unpacking(contents: Contents, tmp_path: Path) -> None:
    parts = assemble(contents)
    packed = pack(parts, tmp_path / "cache")
    found = {entry.path: entry for entry in unpack(packed.data)}
    assert {part.entry.path: part.entry for part in parts}.items() <= found.items()
    assert sum(size.packed for size in packed.sizes.values()) == len(packed.data)
    assert packed.sizes[Component.AGENT].raw == 3


def test_folders_come_before_what_is_in_them(contents: Contents, tmp_path: Path) -> None:
    seen: set[str] = set()
    for entry in unpack(pack(assemble(contents), tmp_path).data):
        assert "/" not in entry.path or entry.path.rpartition("/")[0] in seen
        seen.add(entry.path)


def test_neither_the_order_nor_the_cache_shows(contents: Contents, tmp_path: Path) -> None:
    parts = assemble(contents)
    cold = pack(parts, tmp_path / "cache")
    assert pack(parts[::-1], tmp_path / "cache").data == cold.data
    assert pack(parts, tmp_path / "another").data == cold.data


def test_what_did_not_change_comes_from_the_cache(contents: Contents, tmp_path: Path) -> None:
    pack(assemble(contents), tmp_path)
    frames = set((tmp_path / "packed").iterdir())
    pack(assemble(dataclasses.replace(contents, config={"etc/powernode/config.json": b"[]"})), tmp_path)
    assert len(set((tmp_path / "packed").iterdir()) - frames) == 1


@pytest.mark.parametrize("defect", ["cut", "flipped", "not-zstd"])
def test_damaged_archives_are_refused(contents: Contents, tmp_path: Path, defect: str) -> None:
    data = pack(assemble(contents), tmp_path).data
    middle = len(data) // 2
    broken = {
        "cut": data[:-5],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "not-zstd": b"070701" + data,
    }[defect]
    with pytest.raises(DataError) as refusal:
        list(unpack(broken))
    assert refusal.value.code in ("image.initramfs.damaged", "archive.cpio.damaged")


def test_a_file_cannot_come_twice_with_different_contents(tmp_path: Path) -> None:
    twice = [Part(component=Component.CONFIG, entry=cpio.file("a", data)) for data in (b"1", b"2")]
    with pytest.raises(Exception, match="two different files") as refusal:
        pack(twice, tmp_path)
    assert getattr(refusal.value, "code", "") == "archive.cpio.twice"
