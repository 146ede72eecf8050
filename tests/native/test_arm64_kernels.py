# SPDX-License-Identifier: MIT
"""The arm64 kernels, cross-compiled and run under qemu-user: each is really run on some CPU model.

QEMU's Cortex-A72 has the SHA-2 instructions that the Raspberry Pi 4 lacks, so the Pi's path is reached by a mask.
Not here: speed; emulation says nothing about it (docs/adr/0003-arm64-kernels.md).
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from native.kernel_build import CLANGS, KERNEL_DIR, KERNEL_FILES, build, check, compile_with, find_tool

if TYPE_CHECKING:
    from pathlib import Path

CROSS_GCC = "aarch64-linux-gnu-gcc"
CROSS_OBJDUMP = "aarch64-linux-gnu-objdump"
PORTABLE = {"sha256-portable", "sha512-portable"}
NEON = {"sha256-neon-4"}
SHA256_CE = {"sha256-armce-1", "sha256-armce-2", "sha256-armce-4"}
SHA512_CE = {"sha512-armce-1", "sha512-armce-2"}
EVERY = PORTABLE | NEON | SHA256_CE | SHA512_CE
LAYER_FILE = KERNEL_DIR.parent / "layer" / "sha256_unit.c"
OPTIONAL = re.compile(r"\t(sha\w+|aes\w+|eor3|rax1|xar|bcax|cas\w*|swp\w*|ld(?:add|clr|set|eor)\w*)\t")
# CPU model, mask, the kernels that then run.
MACHINES = {
    "raspberry-pi-4": ("cortex-a72", "arm-sha2", PORTABLE | NEON),
    "a72-with-crypto": ("cortex-a72", "", PORTABLE | NEON | SHA256_CE),
    "everything": ("max", "", EVERY),
    "no-sha2": ("max", "arm-sha2", EVERY - SHA256_CE),
    "no-sha512": ("max", "arm-sha512", EVERY - SHA512_CE),
    "no-vectors": ("max", "neon,arm-sha2,arm-sha512", PORTABLE),
}


def cross_gcc() -> list[str]:
    if not find_tool(CROSS_GCC):
        pytest.skip(f"no {CROSS_GCC} (package gcc-aarch64-linux-gnu)")
    return [CROSS_GCC]


def cross_clang() -> list[str]:
    cross_gcc()  # its linker and C library serve clang too
    clang = find_tool(*CLANGS)
    if clang is None:
        pytest.skip("no clang")
    return [clang, "--target=aarch64-linux-gnu"]


def emulator(cpu: str) -> list[str]:
    qemu = find_tool("qemu-aarch64-static", "qemu-aarch64")
    if qemu is None:
        pytest.skip("no qemu-aarch64 (package qemu-user or qemu-user-static)")
    return [qemu, "-cpu", cpu]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(cross_gcc(), tmp_path_factory.mktemp("arm64") / "check", "-static")


@pytest.mark.parametrize("machine", MACHINES)
def test_kernels_of_a_machine(program: Path, machine: str) -> None:
    cpu, mask, expected = MACHINES[machine]
    report = check([*emulator(cpu), str(program)], mask=mask)
    assert report.ran == expected
    assert report.lacking == EVERY - expected


@pytest.mark.parametrize("optimisation", ["-O0", "-O3"])
def test_other_optimisation(tmp_path: Path, optimisation: str) -> None:
    other = build(cross_gcc(), tmp_path / "check", "-static", optimisation)
    assert check([*emulator("max"), str(other)]).ran == EVERY


def test_clang(tmp_path: Path) -> None:
    other = build(cross_clang(), tmp_path / "check", "-static")
    assert check([*emulator("max"), str(other)]).ran == EVERY


@pytest.mark.parametrize("source", [*KERNEL_FILES, LAYER_FILE], ids=lambda path: path.stem)
def test_optional_instructions_stay_in_their_kernels(tmp_path: Path, source: Path) -> None:
    """A Raspberry Pi 4 must survive every other file: an instruction the compiler slipped in would kill it there."""
    if not find_tool(CROSS_OBJDUMP):
        pytest.skip(f"no {CROSS_OBJDUMP}")
    unit = tmp_path / "unit.o"
    done = compile_with(cross_gcc(), "-c", str(source), "-o", str(unit))
    assert done.returncode == 0, done.stderr
    listing = subprocess.run([CROSS_OBJDUMP, "-d", str(unit)], capture_output=True, text=True, check=True).stdout
    optional = set(OPTIONAL.findall(listing))
    allowed = {
        "sha256_armce": {"sha256h", "sha256h2", "sha256su0", "sha256su1"},
        "sha512_armce": {"sha512h", "sha512h2", "sha512su0", "sha512su1"},
        "sha256_unit": {"sha256h", "sha256h2", "sha256su0", "sha256su1"},
    }
    assert optional == allowed.get(source.stem, set())


@pytest.mark.parametrize("name", ["sha256_armce", "sha256_neon", "sha512_armce"])
def test_big_endian_is_refused(name: str) -> None:
    alone = ["-ffreestanding", "-mbig-endian", "-fsyntax-only"]  # there is no big-endian C library to include
    done = compile_with(cross_gcc(), *alone, str(KERNEL_DIR / f"{name}.c"))
    assert done.returncode != 0
    assert "little-endian" in done.stderr
