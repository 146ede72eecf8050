# SPDX-License-Identifier: MIT
"""libpowernode for a node: the same flags as the tested build, the same bytes anywhere."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from powernode.base.errors import MachineError, OperatorError
from powernode.image import elf, library

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCES = {
    "a.c": '#include "lib.h"\nint pn_a(void) { return __LINE__ + __FILE__[0]; }\n',
    "part/b.c": '#include "lib.h"\nint pn_b(void) { return pn_a(); }\n',
    "include/lib.h": '__attribute__((visibility("default"))) int pn_a(void);\n',
    "ffi/broken.c": "this is not for nodes\n",
    "fuzz/broken.c": "nor this\n",
}


def write(folder: Path, sources: dict[str, str]) -> Path:
    for name, text in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def needs_compiler(arch: str) -> None:
    name = f"{elf.TRIPLETS[arch]}-gcc"
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not here")


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_it_is_the_same_wherever_it_is_built(arch: str, tmp_path: Path) -> None:
    needs_compiler(arch)
    first = library.build(write(tmp_path / "here", SOURCES), arch, tmp_path / "cache-1")
    second = library.build(write(tmp_path / "somewhere/else", SOURCES), arch, tmp_path / "cache-2")
    assert first.data == second.data
    assert str(tmp_path).encode() not in first.data
    assert elf.needs(first.data, "x").machine == elf.MACHINES[arch]
    assert b"pn_a\0" in first.data
    assert b"pn_b\0" not in first.data, "what is not declared for others is hidden"


def test_it_is_built_once(tmp_path: Path) -> None:
    needs_compiler("amd64")
    sources = write(tmp_path / "csrc", SOURCES)
    first = library.build(sources, "amd64", tmp_path / "cache")
    (place,) = (tmp_path / "cache/native").iterdir()
    place.write_bytes(b"from the cache")
    assert library.build(sources, "amd64", tmp_path / "cache").data == b"from the cache"
    (sources / "include/lib.h").write_text(SOURCES["include/lib.h"] + "\n")
    assert library.build(sources, "amd64", tmp_path / "cache").data == first.data


def test_a_mistake_shows_what_the_compiler_said(tmp_path: Path) -> None:
    needs_compiler("amd64")
    with pytest.raises(MachineError) as refusal:
        library.build(
            write(tmp_path, {**SOURCES, "a.c": "int pn_a(void) { return nothing; }\n"}), "amd64", tmp_path / "c"
        )
    assert refusal.value.code == "image.library.compile"
    assert "nothing" in (refusal.value.found or "")


def test_a_function_that_is_nowhere_is_found_when_linking(tmp_path: Path) -> None:
    needs_compiler("amd64")
    text = "int pn_gone(void);\n" + SOURCES["a.c"].replace("__LINE__", "pn_gone()")
    with pytest.raises(MachineError) as refusal:
        library.build(write(tmp_path, {**SOURCES, "a.c": text}), "amd64", tmp_path / "c")
    assert refusal.value.code == "image.library.compile"
    assert "pn_gone" in (refusal.value.found or "")


def test_without_a_compiler_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as refusal:
        library.build(write(tmp_path / "csrc", SOURCES), "arm64", tmp_path / "cache")
    assert refusal.value.code == "image.library.compiler"
    assert "gcc-aarch64-linux-gnu" in (refusal.value.hint or "")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    needs_compiler("amd64")
    with pytest.raises(OperatorError) as refusal:
        library.build(tmp_path, "amd64", tmp_path / "cache")
    assert refusal.value.code == "image.library.sources"


def test_the_flags_are_those_of_the_build_with_cffi() -> None:
    """That build cannot be imported without cffi, so its text is read."""
    found: dict[str, list[str]] = {}
    link: list[str] = []
    for node in ast.parse((CHECKOUT / "csrc/ffi/build.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.List):
            parts: list[str] = []
            for item in node.value.elts:
                if isinstance(item, ast.Starred) and isinstance(item.value, ast.Name):
                    parts += found[item.value.id]
                elif isinstance(item, ast.Constant):
                    parts.append(item.value)  # type: ignore[arg-type]
            found[node.targets[0].id] = parts
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            for keyword in node.value.keywords:
                if keyword.arg == "extra_link_args":
                    link = ast.literal_eval(keyword.value)
    assert tuple(found["FLAGS"]) == library.COMPILE_FLAGS
    assert tuple(link) == library.LINK_FLAGS
