# SPDX-License-Identifier: MIT
"""How libpowernode becomes one shared object with two doors: a cffi extension that ctypes can open as well.

setuptools calls `ffi` (see setup.py). The object uses Python's stable ABI and touches Python only in the wrappers cffi
writes, so a bare interpreter without cffi opens the same file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cffi import FFI

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from abi import ROOT, declarations

CSRC = ROOT / "csrc"
# Kernels are written in the order the pipes want; the compiler's second scheduling pass costs them up to 6 %.
OPTIMIZE = ["-O3", "-fno-schedule-insns2", "-g0"]
WARNINGS = ["-Wall", "-Wextra", "-Wvla", "-Werror=implicit-function-declaration"]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-fvisibility=hidden", *OPTIMIZE, *WARNINGS]
FOLDERS = (".", "verity", "erofs", "composefs", "crypto", "layer", "linux")


def relative(path: Path) -> str:
    return os.path.relpath(path, os.getcwd())


def sources() -> list[str]:
    return sorted(relative(path) for folder in FOLDERS for path in (CSRC / folder).glob("*.c"))


ffi = FFI()
ffi.cdef(declarations())
ffi.set_source(
    "powernode.native._powernode",
    '#include "powernode.h"',
    sources=sources(),
    include_dirs=[relative(CSRC / "include"), relative(CSRC)],
    depends=[relative(path) for path in CSRC.rglob("*.h")],
    extra_compile_args=FLAGS,
    extra_link_args=["-pthread", "-Wl,--as-needed", "-Wl,-O1"],
    py_limited_api=True,
)
