# SPDX-License-Identifier: MIT
"""The C library and plain Python write the same blob, where both have the same version of libzstd.

The C library takes the machine's libzstd.so.1, Python the one inside `zstandard`; here the first is that of the Debian
release whose version is the second.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from powernode import native
from support.debian import CHECKOUT, PrivateApt, UnavailableError

SUITE, VERSION = "trixie", (1, 5, 7)
SCRIPT = """
import sys
from pathlib import Path
from unit.module._layers import random_module, writing_through, written
from unit.module.test_layer import module_of, sizes_tree, zstandard_is_libzstd
work = Path(sys.argv[1])
tree, contents = sizes_tree()
modules = [module_of(work / "sizes", tree, *contents), *(random_module(work / f"m{n}", n) for n in range(8))]
blobs = []
for door in ("pure", "cffi", "ctypes"):
    with writing_through(door):
        assert door == "pure" or zstandard_is_libzstd()
        blobs.append([written(module, work / "blob", level=level).data for module in modules for level in (1, 3, 9)])
assert blobs[0] == blobs[1] == blobs[2]
print(len(blobs[0]), "equal")
"""


def test_both_ways_of_writing_give_the_same_bytes(tmp_path: Path) -> None:
    package = pytest.importorskip("zstandard", reason="no zstandard to compare with")
    if native.library() is None:
        pytest.skip(f"no C library to compare with: {native.reason()}")
    if tuple(package.ZSTD_VERSION) != VERSION:
        pytest.skip(f"zstandard has libzstd {package.ZSTD_VERSION}, Debian {SUITE} has {VERSION}")
    try:
        apt = PrivateApt(SUITE, "amd64" if os.uname().machine == "x86_64" else "arm64")
        apt.update()
        apt.unpack(["libzstd1"], tmp_path / "root")
    except UnavailableError as error:
        pytest.skip(f"no libzstd of {SUITE}: {error}")
    (library,) = (tmp_path / "root").rglob("libzstd.so.1")
    environment = os.environ | {"LD_LIBRARY_PATH": str(library.parent), "PYTHONPATH": str(CHECKOUT / "tests")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "27 equal\n"), done.stderr[-2000:]
