# SPDX-License-Identifier: MIT
"""What of this machine's Python the agent needs; module-setup.sh runs it with the interpreter of the initramfs.

python3 closure.py --list [SOURCE]      # a line for each file: FILE, or FILE PLACE
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = "powernode.cli.agent"
PLACE = "/usr/lib/powernode/python"
LIBRARY = "native/_powernode.abi3.so"


def package_folder(source: str) -> Path:
    if source:
        sys.path.insert(0, source)
    spec = importlib.util.find_spec("powernode")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("powernode is not importable")
    return Path(spec.submodule_search_locations[0])


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file may import, also inside functions; what only type checkers read is left out."""
    todo: list[ast.AST] = [ast.parse(path.read_bytes())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        todo += ast.iter_child_nodes(node)


def closure(package: Path) -> tuple[dict[str, Path], set[str]]:
    """Our modules that the agent reaches, and the names of all others they import."""
    verbs = [f"{ROOT}.{path.stem}" for path in (package / "cli/agent").glob("*.py")]
    todo, ours, others = [ROOT, *verbs], {}, set()
    while todo:
        name = todo.pop()
        if name in ours:
            continue
        base = package.parent / name.replace(".", "/")
        path = next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)
        if path is None:
            continue  # a name inside a module, not a module
        ours[name] = path
        parts = name.split(".")
        todo += [".".join(parts[:depth]) for depth in range(1, len(parts))]
        for wanted in imports_of(path):
            if wanted.startswith("powernode"):
                todo.append(wanted)
            else:
                others.add(wanted)
    return ours, others


def main() -> None:
    action, source = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    package = package_folder(source)
    if action == "--check":
        return
    ours, others = closure(package)
    for path in sorted(ours.values()):
        print(path, f"{PLACE}/{path.relative_to(package.parent)}")
    if (package / LIBRARY).exists():
        print(package / LIBRARY, f"{PLACE}/powernode/{LIBRARY}")
    for name in others | {"encodings.idna", "os"}:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # a name inside a module, or something the agent can do without
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and os.path.isabs(file) and not file.startswith(str(package)) and file != __file__:
            print(file)


if __name__ == "__main__":
    main()
