# SPDX-License-Identifier: MIT
"""Imports point down and never in a circle, and the node's part is standard library only.

The table is the rule; docs/architecture.md says why. Imports under TYPE_CHECKING count too: they are what the code
knows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

MAY_USE: dict[str, set[str]] = {
    "base": set(),
    "native": {"base"},
    "verity": {"native", "base"},
    "erofs": {"native", "base"},
    "linux": {"native", "base"},
    "manifest": {"base"},
    "composefs": {"erofs", "verity", "linux", "native", "base"},
    "archive": {"native", "base"},
    "wire": {"base"},
    "trust": {"wire", "native", "base"},
    "signing": {"wire", "base"},
    "agent": {"wire", "trust", "manifest", "composefs", "erofs", "verity", "linux", "native", "base"},
    "debian": {"archive", "base"},
    "net": {"base"},
    "oci": {"net", "base"},
    "module": {
        *("debian", "archive", "oci", "net", "trust", "signing", "wire"),
        *("manifest", "composefs", "erofs", "verity", "linux", "native", "base"),
    },
    "image": {
        *("module", "debian", "archive", "oci", "trust", "wire"),
        *("manifest", "composefs", "erofs", "verity", "linux", "native", "base"),
    },
    "cli": {
        *("agent", "image", "module", "debian", "signing", "trust", "oci", "net", "wire", "archive"),
        *("composefs", "erofs", "verity", "linux", "manifest", "native", "base"),
    },
}
ON_THE_NODE = (
    *("base", "native", "verity", "erofs", "linux", "manifest", "composefs", "wire", "trust"),
    *("net", "oci", "agent"),
)
NOT_ON_THE_NODE = {"powernode.native._cffi_door"}  # the door for hosts; a node takes the other one


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((SOURCE / "powernode").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are written out in full"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


MODULES = modules()
GRAPH = {
    name: {target for target in imports_of(name, path) if target in MODULES and target != name}
    for name, path in MODULES.items()
}


def package(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str) -> None:
    own = package(name)
    if not own:
        return
    assert own in MAY_USE, f"{own} is a new package: give it its place in the table"
    for target in GRAPH[name]:
        used = package(target)
        assert used in ("", own) or used in MAY_USE[own], (
            f"{name} imports {target}: {own} may use {sorted(MAY_USE[own])}"
        )


def test_the_table_has_no_cycle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_USE):
        ready = {name for name, used in MAY_USE.items() if name not in done and used <= done}
        assert ready, f"a cycle among {sorted(set(MAY_USE) - done)}"
        done |= ready


def test_no_module_is_in_a_cycle() -> None:
    # A package's __init__ runs before its modules anyway, so an edge to it from inside the package is no cycle.
    edges = {name: {t for t in targets if not name.startswith(f"{t}.")} for name, targets in GRAPH.items()}
    done: set[str] = set()
    while len(done) < len(edges):
        ready = {name for name, targets in edges.items() if name not in done and targets <= done}
        assert ready, f"an import cycle among {sorted(set(edges) - done)}"
        done |= ready


@pytest.mark.parametrize("name", [name for name in sorted(MODULES) if package(name) in ON_THE_NODE])
def test_the_node_needs_only_the_standard_library(name: str) -> None:
    if name in NOT_ON_THE_NODE:
        return
    for target in imports_of(name, MODULES[name]):
        top = target.split(".")[0]
        allowed = top in sys.stdlib_module_names or top == "powernode" or _only_for_types(MODULES[name], top)
        assert allowed, f"{name} imports {target}"


def _only_for_types(path: Path, top: str) -> bool:
    """Whether every import of `top` is under `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    guarded: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            guarded |= {id(child) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Import)
            and any(alias.name.split(".")[0] == top for alias in node.names)
            and id(node) not in guarded
        ):
            return False
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] == top
            and id(node) not in guarded
        ):
            return False
    return True


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_command_line_prints_or_exits(name: str) -> None:
    if package(name) in ("", "cli"):
        return
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exit", "quit", "input"), f"{name}:{node.lineno} calls {node.func.id}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_files_can_be_held_in_the_head(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= 500
