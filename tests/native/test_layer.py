# SPDX-License-Identifier: MIT
"""Writing layers under AddressSanitizer, UBSan and ThreadSanitizer; the C driver holds the checks.

Out of scope: what the bytes are (tests/unit/module/test_layer.py).
"""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import pytest

from native.test_sanitizers import CSRC, SANITIZERS, run
from native.test_trust_and_seal import compiled
from powernode.composefs.tree import Directory, Node
from unit.module._layers import file, module_of, random_module

WRAPPED = ("malloc", "calloc", "realloc", "pthread_create")
ELSEWHERE = (
    *("erofs/reader.c", "erofs/reader_data.c", "erofs/reader_directory.c", "erofs/reader_inode.c"),
    *("erofs/reader_xattr.c", "erofs/xxh32.c", "composefs/view.c", "composefs/view_interpret.c", "composefs/hex.c"),
    *("verity/cpu.c", "verity/sha256_portable.c", "verity/sha512_portable.c", "common.c"),
)
SOURCES = [*(f"layer/{path.name}" for path in sorted((CSRC / "layer").glob("*.c"))), *ELSEWHERE]


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_layers(tmp_path: Path, sanitizer: str) -> None:
    if ctypes.util.find_library("zstd") is None:
        pytest.skip("no libzstd.so.1 here")
    program = compiled(tmp_path, sanitizer, "layer_check.c", SOURCES, WRAPPED)
    several = [bytes(5 << 20), *(bytes([seed]) * 3000 for seed in range(50))]
    entries: dict[bytes, Node] = {b"f%d" % number: file(data) for number, data in enumerate(several)}
    modules = (
        random_module(tmp_path / "random", 3, leaves=60),
        module_of(tmp_path / "several", Directory(entries=entries), *several),
    )
    for module in modules:
        run(program, module.image, module.objects, tmp_path / "blob")
