# SPDX-License-Identifier: MIT
"""The C library: what it exports, how its sources look, and that it opens in a bare interpreter."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "src/powernode/native/_powernode.abi3.so"
C_FILES = sorted(path for path in (ROOT / "csrc").rglob("*.[ch]"))
BARE = """
import sys
sys.path.insert(0, sys.argv[1])
class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top != "powernode":
            raise ModuleNotFoundError(f"{name} is not in the standard library", name=name)
sys.meta_path.insert(0, Guard())
import powernode.verity, powernode.composefs
from powernode import native
from powernode.composefs import image
assert native.library().door == "ctypes", native.reason()
assert powernode.verity.digest_buffer(b"hello world\\n").hex.startswith("37061ef2")
assert len(image.from_dump(b"/ 0 40755 2 0 0 0 0.0 - - -\\n")) % 4096 == 0
for name in sys.modules:
    assert name.split(".")[0] in sys.stdlib_module_names | {"powernode", "__main__"}, name
"""


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed")
def test_every_exported_symbol_has_our_prefix() -> None:
    listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in listed.splitlines()]
    ours = [name for name in names if name.startswith("pn_")]
    # cffi's wrappers are static but for the module's entry point.
    assert [name for name in names if name not in ours] == ["PyInit__powernode"]
    declared = set(re.findall(r"\b(pn_\w+)\s*\(", (ROOT / "csrc/include/powernode.h").read_text()))
    assert set(ours) == declared


def test_opens_in_a_bare_interpreter() -> None:
    """ctypes, `-I -S`, and nothing but the standard library: what an initramfs has."""
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", BARE, str(ROOT / "src")], check=True, env={"POWERNODE_NATIVE": "require"}
    )


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_c_files_are_small_and_know_nothing_of_python(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("/* SPDX-License-Identifier: MIT"), "the licence line comes first"
    assert len(text.splitlines()) <= 500
    assert "Python.h" not in text


def test_warnings_are_errors_for_us() -> None:
    """The library is built with a few warnings only; here the whole set, and nothing may be said."""
    for path in (path for path in C_FILES if path.suffix == ".c" and path.parent.name != "fuzz"):
        command = [
            "gcc",
            "-std=gnu11",
            "-D_GNU_SOURCE",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Wvla",
            "-Wmissing-prototypes",
            "-Werror",
        ]
        result = subprocess.run(
            [*command, "-Icsrc/include", "-Icsrc", "-fsyntax-only", path],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
