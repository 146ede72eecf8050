# SPDX-License-Identifier: MIT
"""The checksums of csrc/layer by the CPU's instructions and without them, natively and, for arm64, under qemu-user.

hash_check.c compares the streams with each other, this the digest with hashlib's.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from native.kernel_build import KERNEL_DIR, ROOT, compile_with, find_tool
from native.test_arm64_kernels import cross_gcc, emulator

SOURCES = [
    *(ROOT / "csrc/layer" / name for name in ("sha256.c", "sha256_unit.c")),
    *(KERNEL_DIR / name for name in ("cpu.c", "sha256_portable.c")),
    ROOT / "tests/native/hash_check.c",
]
MESSAGE = bytes((i * 7 + i // 256) % 256 for i in range(5000))
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MASKS = {"": "unit", "shani,arm-sha2": "portable"}


def made(command: list[str], program: Path, *flags: str) -> Path:
    done = compile_with(command, *flags, *map(str, SOURCES), "-o", str(program))
    assert done.returncode == 0, done.stderr
    return program


def way(command: list[str], mask: str) -> str:
    """Which way was taken; that it is right has been checked."""
    environment = os.environ | {"POWERNODE_CPU_MASK": mask}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    digest, taken = done.stdout.split()
    assert digest == hashlib.sha256(MESSAGE).hexdigest()
    return taken


def test_both_ways_here(tmp_path: Path) -> None:
    compiler = find_tool("gcc")
    if compiler is None:
        pytest.skip("no gcc")
    program = made([compiler], tmp_path / "check", *SANITIZED)
    assert way([str(program)], "shani,arm-sha2") == "portable"
    if way([str(program)], "") != "unit":
        pytest.skip("this CPU has no SHA-256 instructions")


@pytest.mark.parametrize("optimisation", ["-O0", "-O3"])
def test_both_ways_of_arm64(tmp_path: Path, optimisation: str) -> None:
    program = made(cross_gcc(), tmp_path / "check", "-static", optimisation)
    for mask, expected in MASKS.items():
        assert way([*emulator("cortex-a72"), str(program)], mask) == expected
