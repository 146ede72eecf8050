# SPDX-License-Identifier: MIT
"""How merge and explain are told about modules:
`--module=NAME,priority=N,tree=PATH[,rules=FILE][,locked][,parent=NAME]`.

The rules file is JSON with any of file_spec, mask, protected_spec, dependency_spec: lists of globs. A module without
file_spec ships its whole tree.
"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.composefs.shared import read, tree_of
from powernode.cli.options import Option, natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.composefs.matching import PathMatcher
    from powernode.composefs.merge import MergeInput

_FORM = "NAME,priority=N,tree=PATH[,rules=FILE][,locked][,parent=NAME]"
MODULE = Option(
    "--module",
    _FORM,
    "a module: its effective priority, its tree (directory, image or dump) and its ownership rules (JSON with "
    "file_spec, mask, protected_spec, dependency_spec: lists of globs); repeat for every module",
    repeat=True,
)
_SPECS = ("file_spec", "mask", "protected_spec", "dependency_spec")


def read_modules(texts: list[str]) -> list[MergeInput]:
    if not texts:
        raise OperatorError("cli.module", "no module was given", expected=f"--module={_FORM}")
    return [_module(text) for text in texts]


def _module(text: str) -> MergeInput:
    from powernode.composefs.merge import MergeInput

    name, *rest = text.split(",")
    is_locked = "locked" in rest
    pairs = [part.partition("=") for part in rest if part != "locked"]
    fields = {key: value for key, _, value in pairs}
    unusable = not name or len(rest) - is_locked != len(fields) or not all(value for _, _, value in pairs)
    if unusable or "tree" not in fields or set(fields) - {"priority", "tree", "rules", "parent"}:
        raise OperatorError("cli.module", "a module cannot be understood", expected=_FORM, found=text)
    try:
        priority = natural(fields.get("priority", ""))
    except ValueError:
        raise OperatorError("cli.module", f"module {name} has no priority", expected="priority=N", found=text) from None
    rules = _rules(name, fields["rules"]) if "rules" in fields else {}
    if "file_spec" not in rules and "parent" not in fields:
        rules["file_spec"] = _compile(["/**"])
    return MergeInput(
        name=name,
        effective_priority=priority,
        tree=tree_of(fields["tree"]),
        locked=is_locked,
        parent=fields.get("parent"),
        file_spec=rules.get("file_spec"),
        mask=rules.get("mask"),
        protected_spec=rules.get("protected_spec"),
        dependency_spec=rules.get("dependency_spec"),
    )


def _compile(globs: list[str]) -> PathMatcher:
    from powernode.manifest.globs import compile_globs

    return compile_globs(globs)


def _rules(name: str, path: str) -> dict[str, PathMatcher]:
    import json

    try:
        document = json.loads(read(path, "rules"))
    except (ValueError, RecursionError) as error:  # the latter: brackets in brackets in brackets
        raise OperatorError("cli.rules", f"the rules of {name} are no JSON", found=f"{path}: {error}") from None
    if not isinstance(document, dict) or set(document) - set(_SPECS):
        raise OperatorError(
            "cli.rules", f"the rules of {name} hold something else", expected=", ".join(_SPECS), found=path
        )
    for key, globs in document.items():
        if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
            raise OperatorError(
                "cli.rules", f"{key} of {name} is no list of globs", expected='["/etc/x/**"]', found=path
            )
    return {key: _compile(globs) for key, globs in document.items()}
