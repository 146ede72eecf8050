# SPDX-License-Identifier: MIT
"""The last look into a new root: everything init needs, resolved the way the new root will resolve it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.agent.preflight import preflight
from powernode.base.errors import DataError
from unit.agent._elf_files import elf


@pytest.fixture
def root(folder: Path) -> Path:
    """A root as systemd's is: usr-merged, init a link to a program with a private library."""
    for name in ("proc", "sys", "dev", "run", "sbin", "usr/lib/systemd", "usr/lib/x86_64-linux-gnu", "usr/lib64"):
        (folder / name).mkdir(parents=True)
    (folder / "lib").symlink_to("usr/lib")
    (folder / "lib64").symlink_to("/usr/lib64")
    (folder / "sbin/init").symlink_to("/lib/systemd/systemd")
    program = elf(
        interpreter="/lib64/ld.so", needed=["libprivate.so", "libc.so.6"], runpath="/usr/lib/systemd/private:$ORIGIN"
    )
    put(folder / "usr/lib/systemd/systemd", program)
    put(folder / "usr/lib/systemd/libprivate.so", elf(needed=["libc.so.6"]))
    put(folder / "usr/lib/x86_64-linux-gnu/libc.so.6", elf(needed=["ld.so"]))
    put(folder / "usr/lib64/ld.so", elf())
    return folder


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o755)


def test_everything_is_read_once(root: Path) -> None:
    assert sorted(preflight(str(root), arch="amd64")) == [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld.so",
        "/sbin/init",
        "/usr/lib/systemd/libprivate.so",
    ]


def test_scripts_name_their_interpreter(root: Path) -> None:
    os.unlink(root / "sbin/init")
    put(root / "sbin/init", b"#! /bin/sh -e\nexec true\n")
    (root / "bin").mkdir()
    put(root / "bin/sh", elf(interpreter="/lib64/ld.so"))
    assert preflight(str(root), arch="amd64") == ["/sbin/init", "/bin/sh", "/lib64/ld.so"]


def lose_init(root: Path) -> None:
    os.unlink(root / "usr/lib/systemd/systemd")


def loop(root: Path) -> None:
    os.unlink(root / "sbin/init")
    (root / "sbin/init").symlink_to("init")


def lead_out(root: Path) -> None:
    """A link that only leads to a program if it leaves the root."""
    os.unlink(root / "sbin/init")
    (root / "sbin/init").symlink_to(os.path.realpath("/bin/sh"))


def climb_out(root: Path) -> None:
    os.unlink(root / "sbin/init")
    (root / "sbin/init").symlink_to("../" * 20 + os.path.realpath("/bin/sh")[1:])


def lose_library(root: Path) -> None:
    os.unlink(root / "usr/lib/systemd/libprivate.so")


def lose_loader(root: Path) -> None:
    os.unlink(root / "usr/lib64/ld.so")


def not_executable(root: Path) -> None:
    (root / "usr/lib/systemd/systemd").chmod(0o644)


def folder_as_init(root: Path) -> None:
    lose_init(root)
    (root / "usr/lib/systemd/systemd").mkdir()


def fifo_as_init(root: Path) -> None:
    lose_init(root)
    os.mkfifo(root / "usr/lib/systemd/systemd", 0o755)


def text_as_init(root: Path) -> None:
    put(root / "usr/lib/systemd/systemd", b"hello")


def damage_library(root: Path) -> None:
    put(root / "usr/lib/systemd/libprivate.so", elf(needed=["libc.so.6"])[:100])


def of_another_machine(root: Path) -> None:
    put(root / "usr/lib/systemd/libprivate.so", elf(machine=183))


def too_many(root: Path) -> None:
    names = [f"lib{number}.so" for number in range(300)]
    for name in names:
        put(root / "usr/lib" / name, elf())
    put(root / "usr/lib/systemd/systemd", elf(needed=names))


def lose_folder(root: Path) -> None:
    (root / "run").rmdir()
    (root / "run").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lose_init, "boot.preflight-missing"),
        (loop, "boot.preflight-missing"),
        (lead_out, "boot.preflight-missing"),
        (climb_out, "boot.preflight-missing"),
        (lose_library, "boot.preflight-missing"),
        (lose_loader, "boot.preflight-missing"),
        (not_executable, "boot.preflight-format"),
        (folder_as_init, "boot.preflight-format"),
        (fifo_as_init, "boot.preflight-format"),
        (text_as_init, "boot.preflight-format"),
        (damage_library, "agent.elf"),
        (of_another_machine, "boot.preflight-arch"),
        (too_many, "boot.preflight-limit"),
        (lose_folder, "boot.preflight-folder"),
    ],
)
def test_refusals(root: Path, spoil: Callable[[Path], None], code: str) -> None:
    spoil(root)
    with pytest.raises(DataError) as caught:
        preflight(str(root), arch="amd64")
    assert caught.value.code == code
