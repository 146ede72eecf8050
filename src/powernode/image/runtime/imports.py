# SPDX-License-Identifier: MIT
"""What our own modules import, read from their source: which modules of ours, and which others.

Invariants: imports inside functions count, because they run on the node sooner or later; imports under
`if TYPE_CHECKING` never run and do not. A module of ours that is imported and not there is refused, with who wants it.

Out of scope: names computed at run time; but a root that is a package brings all its modules, which is how a command
finds the module of a verb.

    found = closure(Path("src"), ["powernode.cli.agent"])
    found.own["powernode.verity"]       # Path("src/powernode/verity/__init__.py")
    found.others["urllib.request"]      # {"urlopen", …}: what `from urllib.request import` names
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from powernode.base.errors import OperatorError

__all__ = ["Closure", "closure"]

_PACKAGE = "powernode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    own: dict[str, Path]
    others: dict[str, set[str]]


def closure(source: Path, roots: Iterable[str], *, without: Collection[str] = ()) -> Closure:
    """Everything the roots can reach in the folder `source`; modules in `without` are taken for absent."""
    own: dict[str, Path] = {}
    others: dict[str, set[str]] = {}
    waiting = [(name, "the command line") for root in sorted(roots) for name in _with_modules(source, root)]
    while waiting:
        name, importer = waiting.pop()
        if name in own or name in without:
            continue
        path = _file(source, name)
        if path is None:
            raise OperatorError(
                "image.python.module",
                f"{importer} imports {name}, which is not there",
                expected=f"{name.replace('.', '/')}.py below {source}",
            )
        own[name] = path
        if "." in name:
            waiting.append((name.rpartition(".")[0], name))
        for module, members in _imports(ast.parse(path.read_bytes(), str(path)).body):
            if module.partition(".")[0] != _PACKAGE:
                others.setdefault(module, set()).update(members)
                continue
            waiting.append((module, name))
            waiting += [(whole, name) for member in members if _file(source, whole := f"{module}.{member}")]
    return Closure(own=dict(sorted(own.items())), others=dict(sorted(others.items())))


def _with_modules(source: Path, root: str) -> list[str]:
    return [
        root,
        *(f"{root}.{path.stem}" for path in (source / root.replace(".", "/")).glob("*.py") if path.stem != "__init__"),
    ]


def _file(source: Path, name: str) -> Path | None:
    path = source / name.replace(".", "/")
    for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if candidate.is_file():
            return candidate
    return None


def _imports(body: Iterable[ast.AST]) -> Iterator[tuple[str, list[str]]]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _imports(node.orelse)
        else:
            yield from _imports(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
