# SPDX-License-Identifier: MIT
"""The libraries of a program, for any architecture, without running it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.image import elf
from powernode.image.trees import Trees
from unit.image._elf_files import AARCH64, program, with_section

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"


def trees_of(root: Path, files: dict[str, bytes]) -> Trees:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return Trees([root])


def code_of(trees: Trees, programs: dict[str, bytes], arch: str = "amd64") -> str:
    with pytest.raises(DataError) as refusal:
        elf.closure(trees, programs, arch)
    return refusal.value.code


def test_the_closure_has_what_the_needed_ones_need(tmp_path: Path) -> None:
    trees = trees_of(
        tmp_path,
        {
            f"{LIBRARIES}/libone.so.1": program(["libtwo.so.2", "libc.so.6"]),
            "lib/x86_64-linux-gnu/libtwo.so.2": program(["libone.so.1"]),  # a circle, and a package before merged /usr
            f"{LIBRARIES}/libc.so.6": program(["ld-linux-x86-64.so.2"]),
            LOADER: program(),
            f"{LIBRARIES}/libunused.so": program(),
        },
    )
    tool = program(["libone.so.1"], interpreter="/lib64/ld-linux-x86-64.so.2")
    assert sorted(elf.closure(trees, {"usr/bin/tool": tool}, "amd64")) == [
        "usr/bin/tool",
        f"{LIBRARIES}/libc.so.6",
        f"{LIBRARIES}/libone.so.1",
        f"{LIBRARIES}/libtwo.so.2",
        LOADER,
    ]


def test_the_same_files_give_the_same_order(tmp_path: Path) -> None:
    trees = trees_of(tmp_path, {f"{LIBRARIES}/lib{name}.so": program() for name in "abc"})
    programs = {f"usr/bin/{name}": program([f"lib{name}.so"]) for name in "cab"}
    assert list(elf.closure(trees, programs, "amd64")) == list(
        elf.closure(trees, dict(reversed(programs.items())), "amd64")
    )


def test_a_missing_library_is_refused_with_who_needs_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        elf.closure(Trees([tmp_path]), {"usr/bin/tool": program(["libgone.so.3"])}, "amd64")
    assert refusal.value.code == "image.elf.missing"
    assert "usr/bin/tool needs libgone.so.3" in refusal.value.message


def test_a_missing_loader_is_refused(tmp_path: Path) -> None:
    tool = program(interpreter="/lib64/ld-linux-x86-64.so.2")
    assert code_of(Trees([tmp_path]), {"usr/bin/tool": tool}) == "image.tree.missing"


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    trees = trees_of(tmp_path, {f"{LIBRARIES}/libone.so": program(machine=AARCH64)})
    assert code_of(trees, {"usr/bin/tool": program(["libone.so"])}) == "image.elf.architecture"
    assert code_of(trees, {"usr/bin/tool": program()}, "arm64") == "image.elf.architecture"


def test_a_library_by_path_is_refused(tmp_path: Path) -> None:
    assert code_of(Trees([tmp_path]), {"usr/bin/tool": program(["../../etc/passwd"])}) == "image.elf.missing"


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", program()[:100], program(["liba.so"])[:-40]], ids=["empty", "script", "cut", "no-end"]
)
def test_broken_files_are_refused(tmp_path: Path, data: bytes) -> None:
    assert code_of(Trees([tmp_path]), {"usr/bin/tool": data}) == "image.elf.broken"


@given(st.integers(0, 300), st.binary(min_size=1, max_size=8))
def test_damage_is_refused_or_read(position: int, noise: bytes) -> None:
    whole = program(["liba.so", "libb.so"], interpreter="/lib64/ld.so")
    damaged = whole[:position] + noise + whole[position + len(noise) :]
    try:
        elf.needs(damaged, "x")
    except DataError as refusal:
        if refusal.code != "image.elf.broken":
            raise


def test_a_section_is_found_by_its_name() -> None:
    data = with_section(".modinfo", b"depends=a\0")
    assert elf.section(data, ".modinfo", "x") == b"depends=a\0"
    assert elf.section(data, ".other", "x") == b""


@pytest.mark.skipif(sys.platform != "linux", reason="reads a program of this machine")
def test_it_reads_real_programs() -> None:
    found = elf.needs(Path(shutil.which("sh") or "/bin/sh").resolve().read_bytes(), "sh")
    assert found.interpreter is not None
    assert "libc.so.6" in found.libraries
