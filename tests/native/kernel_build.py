# SPDX-License-Identifier: MIT
"""Builds and runs kernel_check.c, the C program that compares every hash kernel with the portable one.

Contract: `build` compiles the kernels of csrc/verity, with warnings as errors and test masks on, into a program.
`check` runs it and returns what it said; a kernel that gives other bytes, or reads past its message, fails there.
Out of scope: speed, and everything of csrc/verity above the kernels.

    program = build(["gcc"], tmp_path / "check")
    assert "sha256-portable" in check([str(program)]).ran
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNEL_DIR = ROOT / "csrc" / "verity"
KERNEL_FILES = sorted(KERNEL_DIR.glob("sha*.c"))
SOURCES = [*KERNEL_FILES, KERNEL_DIR / "cpu.c", KERNEL_DIR / "registry.c", ROOT / "tests" / "native" / "kernel_check.c"]
WARNINGS = ["-Wall", "-Wextra", "-Wvla", "-Wmissing-prototypes", "-Werror"]
FLAGS = ["-std=c11", "-O2", "-g", *WARNINGS, "-fvisibility=hidden", "-DPN_TEST_BUILD"]
CLANGS = ("clang", "clang-19", "clang-16", "clang-15", "clang-14")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Kernels that ran and gave the portable digests, and those this CPU (or the mask) does not let run."""

    ran: frozenset[str]
    lacking: frozenset[str]


def find_tool(*names: str) -> str | None:
    """The first of these programs that is installed."""
    return next((name for name in names if shutil.which(name)), None)


def compile_with(command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a compiler with the project's flags; the caller judges the result."""
    return subprocess.run(
        [*command, *FLAGS, f"-I{KERNEL_DIR}", *arguments], capture_output=True, text=True, timeout=300, check=False
    )


def build(command: list[str], program: Path, *flags: str) -> Path:
    """The check program, made by this compiler with these additional flags."""
    done = compile_with(command, *flags, *map(str, SOURCES), "-o", str(program))
    assert done.returncode == 0, done.stderr
    return program


def check(command: list[str], *, mask: str = "") -> Report:
    """Runs the program (under an emulator, if `command` begins with one) and reads its report."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "POWERNODE_CPU_MASK": mask},
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    lines = [line.split() for line in done.stdout.splitlines()]
    answers = {line[1]: line[2] for line in lines if line[0] == "answer"}
    assert answers == expected_answers(), "the portable kernels themselves are wrong"
    return Report(
        ran=frozenset(line[1] for line in lines if line[0] == "ok"),
        lacking=frozenset(line[1] for line in lines if line[0] == "lacks"),
    )


def expected_answers() -> dict[str, str]:
    """Somebody else's digests of the message that kernel_check.c describes."""
    message = bytes((i * 31 + i // 256) % 256 for i in range(4096))
    return {
        "sha256-portable": hashlib.sha256(message).hexdigest(),
        "sha512-portable": hashlib.sha512(message).hexdigest(),
    }
