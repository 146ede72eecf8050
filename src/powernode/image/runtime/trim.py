# SPDX-License-Identifier: MIT
"""Run by the interpreter that will run on the node, natively on the build machine: what is imported, then compile.

A script and not a module of ours: it sees only the standard library it is asked about, which Debian divides over
packages. It reads one JSON object from standard input and prints one, with file contents in base64:

    python3.13 -S trim.py TARGET_LIB:TARGET_LIB HOST_LIB:HOST_LIB       # folders usr/lib/python3.13 of packages
    {"import": {"urllib.request": ["urlopen"]}, "later": {"socket": ["encodings.idna"]}, "absent": ["bz2"],
     "amendments": {"dataclasses.py": [["old", "new"]]}, "own": {"powernode": ["/src/powernode/__init__.py", true]}}
    {"compiled": {"json/__init__.pyc": "…"}, "extensions": ["_ssl.cpython-313-x86_64-linux-gnu.so"], "amended": […]}

Text comes from the target's packages, binaries from the host's. What comes out are unchecked-hash .pyc without
docstrings and assertions; they depend on the sources alone: the names of files in them are relative.
"""

from __future__ import annotations

import _frozen_importlib_external as machinery  # importlib itself would be part of the answer
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    import types
    from importlib.machinery import ModuleSpec

TARGET, HOST = ([folder + "/" for folder in word.split(":")] for word in sys.argv[1:3])
_UNCHECKED_HASH = (1).to_bytes(4, "little") + bytes(8)  # PEP 552: bit 1, which would have the hash checked, is off

_amendments: dict[str, list[tuple[str, str]]] = {}
_applied: set[str] = set()


class Packages:
    """Finds what no interpreter can find by its path: a package whose modules lie in two folders."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        relative = name.replace(".", "/")
        for candidate, is_package in ((f"{relative}/__init__.py", True), (f"{relative}.py", False)):
            if (found := find(candidate)) is not None:
                places = [found[: -len("/__init__.py")]] if is_package else None
                loader = Amended(name, found)
                return machinery.spec_from_file_location(name, found, loader=loader, submodule_search_locations=places)
        for suffix in machinery.EXTENSION_SUFFIXES:
            if (found := find(f"lib-dynload/{name}{suffix}")) is not None:
                return machinery.spec_from_file_location(name, found, loader=machinery.ExtensionFileLoader(name, found))
        return None


class Amended(machinery.SourceFileLoader):
    def get_data(self, path: str) -> bytes:
        return text_of(relative_to_library(path)) if path.endswith(".py") else super().get_data(path)


def find(relative: str) -> str | None:
    import posix

    for folder in HOST if relative.endswith(".so") else TARGET:
        try:
            posix.stat(folder + relative)
        except OSError:
            continue
        return folder + relative
    return None


def relative_to_library(path: str) -> str:
    for folder in (*TARGET, *HOST):
        if path.startswith(folder):
            return path[len(folder) :]
    raise SystemExit(f"{path} is in none of the packages")


def text_of(relative: str) -> bytes:
    """A file of the target's library, amended if its text is the one the amendments are for."""
    path = find(relative)
    if path is None:
        raise SystemExit(f"the target's packages have no {relative}")
    with open(path, "rb") as file:
        original = file.read()
    changes = _amendments.get(relative, [])
    if not all(original.count(old.encode()) == 1 for old, _ in changes):
        return original
    _applied.update([relative] if changes else [])
    for old, new in changes:
        original = original.replace(old.encode(), new.encode())
    return original


def main() -> None:
    sys.meta_path[:] = [*sys.meta_path[:2], Packages]  # built-in and frozen stay first
    import json

    task = json.load(sys.stdin)
    _amendments.update(task["amendments"])
    found = sorted(set(imported(task["import"], task["later"], task["absent"])))
    import base64

    compiled = {name: code_of(text_of(name), name, optimize=2) for name in found if name.endswith(".py")}
    for name, (path, is_package) in task["own"].items():
        relative = name.replace(".", "/") + ("/__init__.py" if is_package else ".py")
        with open(path, "rb") as file:
            compiled[relative] = code_of(without_docstrings(file.read()), relative, optimize=1)
    answer = {
        "compiled": {f"{name}c": base64.b64encode(data).decode() for name, data in compiled.items()},
        "extensions": [name.removeprefix("lib-dynload/") for name in found if name.endswith(".so")],
        "amended": sorted(_applied),
    }
    json.dump(answer, sys.stdout)


def imported(wanted: dict[str, list[str]], later: dict[str, list[str]], absent: list[str]) -> list[str]:
    """The files behind every module that importing the wanted ones brings."""
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails with ImportError
    for name, members in wanted.items():
        module = __import__(name, fromlist=["x"])
        for member in members:
            if member != "*" and not hasattr(module, member):
                __import__(f"{name}.{member}")
    done: set[str] = set()
    while ready := [name for name in later if name in sys.modules and name not in done]:
        done.update(ready)
        for needed in (needed for name in ready for needed in later[name]):
            __import__(needed)
    found = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        frozen = getattr(getattr(module, "__spec__", None), "origin", None) == "frozen"
        if path is not None and name != "__main__" and (not frozen or name in later.get(name, ())):
            found.append(relative_to_library(path))
    return found


def code_of(source: bytes | ast.Module, name: str, *, optimize: int) -> bytes:
    import marshal

    code: types.CodeType = compile(source, name, "exec", dont_inherit=True, optimize=optimize)
    return bytes(machinery.MAGIC_NUMBER + _UNCHECKED_HASH + marshal.dumps(code))


def without_docstrings(source: bytes) -> ast.Module:
    """Like optimize=2, but a data class keeps a short one: without any, dataclasses works out a signature each time."""
    import ast

    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(mark) for mark in node.decorator_list):
            node.body.insert(0, ast.Expr(ast.Constant(node.name)))
        elif not node.body and not isinstance(node, ast.Module):
            node.body.append(ast.Pass())
    return ast.fix_missing_locations(tree)


if __name__ == "__main__":
    main()
