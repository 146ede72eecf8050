# SPDX-License-Identifier: MIT
"""powernode module diff"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.module.inspect import ARCH, MODULE
from powernode.cli.module.registry import REGISTRY_OPTIONS
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from powernode.base.canonical import Json
    from powernode.module.diff import Difference, FileChange
    from powernode.module.inspect import Part

COMMAND = Command(
    "module diff",
    f"{MODULE} {MODULE}",
    "Says what differs between two modules: the manifest, packages, files with what changed in them, and how much a "
    "node that has the first one reads to have the second. Each is a layout, a module directory or a reference. "
    "A build takes the place of the one before it, which is still in the registry, or where it was pulled.",
    options=(ARCH, *REGISTRY_OPTIONS, Option("--json", None, "one JSON object for machines")),
    example="powernode module diff --arch=amd64 registry.example.com/acme/redis:v0.1.0 build/oci\n"
    "powernode module diff modules/redis build/oci",
    least=2,
    most=2,
)

_SIGNS = {"added": "+", "removed": "-"}


def run(arguments: Arguments) -> int:
    import json

    from powernode.cli.module.opening import open_parts
    from powernode.module.diff import compare

    before, after = (open_parts(text, arguments) for text in arguments.operands)
    pairs = _pairs(before, after)
    found = [(old, new, compare(old, new)) for old, new in pairs]
    one, other = ({part.architecture for part in parts} for parts in (before, after))
    alone = {"only_before": sorted(one - other), "only_after": sorted(other - one)}
    if arguments.json:
        print(json.dumps({"architectures": {new.architecture: _facts(each) for _, new, each in found}, **alone}))
        return 0
    print("\n\n".join("\n".join(_lines(old, new, each)) for old, new, each in found))
    for which, architectures in zip(("first", "second"), alone.values(), strict=True):
        if architectures:
            print(f"\nonly the {which} is for {', '.join(architectures)}")
    return 0


def _pairs(before: tuple[Part, ...], after: tuple[Part, ...]) -> list[tuple[Part, Part]]:
    """What both are there for."""
    old = {part.architecture: part for part in before}
    pairs = [(old[part.architecture], part) for part in after if part.architecture in old]
    if not pairs:
        found = f"{', '.join(sorted(old))} and {', '.join(part.architecture for part in after)}"
        raise OperatorError("module.diff.architecture", "the modules have no architecture in common", found=found)
    return pairs


def _facts(found: Difference) -> dict[str, object]:
    transfer = found.transfer
    return {
        "same_image": found.same_image,
        "whole_manifest": found.whole_manifest,
        "manifest": [{"field": each.field, "before": each.before, "after": each.after} for each in found.fields],
        "packages": None
        if found.packages is None
        else [
            {"name": each.name, "what": each.what, "before": each.before, "after": each.after}
            for each in found.packages
        ],
        "files": [
            {
                "path": each.path.decode("utf-8", "surrogateescape"),
                "what": each.what,
                "details": {aspect: [old, new] for aspect, old, new in each.details},
            }
            for each in found.files
        ],
        "transfer": {
            "objects": transfer.objects,
            "size_bytes": transfer.size,
            "total_bytes": transfer.total,
            "stored_bytes": transfer.stored,
        },
    }


def _lines(before: Part, after: Part, found: Difference) -> Iterator[str]:
    from powernode.base.text import clean
    from powernode.cli.module.texts import amount

    names = (before.name, after.name) if before.name != after.name else (before.name, "")
    yield clean(f"{names[0]} {before.version} -> {names[1]} {after.version}".replace("  ", " ")) + (
        f", {after.architecture}"
    )
    if found.fields:
        yield "manifest:"
        yield from (f"  {clean(each.field)}: {_value(each.before)} -> {_value(each.after)}" for each in found.fields)
    if not found.whole_manifest:
        yield "manifest: a module directory has only name, version and globs of it; the rest is not compared"
    if found.packages:
        yield "packages:"
    for package in found.packages or ():
        versions = [clean(version) for version in (package.before, package.after) if version is not None]
        sign, what = _SIGNS.get(package.what, "~"), "" if package.what in _SIGNS else f" ({package.what})"
        yield f"  {sign} {clean(package.name)} {' -> '.join(versions)}{what}"
    if found.packages is None:
        yield "packages: one of the modules does not say which it has"
    yield from _files(found)
    transfer = found.transfer
    stored = "" if transfer.stored is None else f" ({amount(transfer.stored)} of the layer)"
    if found.same_image:
        yield "the files are the same: an update reads nothing"
    else:
        read = f"{amount(transfer.size)} of {amount(transfer.total)}{stored}"
        yield f"an update reads {transfer.objects:,} objects, {read}"


def _files(found: Difference) -> Iterator[str]:
    from powernode.base.text import clean

    changes = [change for change in found.files if not change.time_only]
    if changes:
        yield "files:"
    yield from (f"  {_SIGNS.get(each.what, '~')} {clean(each.path)}{_details(each)}" for each in changes)
    touched = len(found.files) - len(changes)
    if touched:
        yield f"  {'and ' if changes else ''}{touched:,} differ in their times only"


def _details(change: FileChange) -> str:
    from powernode.base.text import clean

    told = []
    for aspect, old, new in change.details:
        if aspect == "content":
            told.append("content")
        elif aspect != "time":
            told.append(f"{aspect} {clean(old)} -> {clean(new)}")
    return f": {', '.join(told)}" if told else ""


def _value(value: Json) -> str:
    """As JSON, which is ASCII."""
    import json

    return "nothing" if value is None else json.dumps(value)
