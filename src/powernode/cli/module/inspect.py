# SPDX-License-Identifier: MIT
"""powernode module inspect"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.module.registry import REGISTRY_OPTIONS
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from powernode.base.canonical import Json
    from powernode.module.inspect import Part

MODULE = "LAYOUT[:NAME]|DIR|REF"
ARCH = Option("--arch", "ARCH", "only this architecture")

COMMAND = Command(
    "module inspect",
    MODULE,
    "Says what is in a module: in an OCI layout, a module directory, or a registry, of which only the manifests, the "
    "table of contents and the SBOM are read. Signatures are named, not verified: `module verify` does that.",
    options=(
        ARCH,
        Option("--files", None, "list what ships, with modes, owners and sizes"),
        Option("--manifest", None, "print the module manifest as JSON"),
        Option("--sbom", None, "print the SBOM (CycloneDX)"),
        *REGISTRY_OPTIONS,
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module inspect build/oci\n"
    "powernode module inspect --arch=arm64 --files registry.example.com/acme/redis:v1.0.0",
    least=1,
    most=1,
)

_SHOWN = 10


def run(arguments: Arguments) -> int:
    import json

    from powernode.cli.module.opening import open_parts

    chosen = [name for name in ("files", "manifest", "sbom") if getattr(arguments, name)]
    if len(chosen) > 1:
        raise OperatorError("cli.option", f"--{chosen[0]} and --{chosen[1]} cannot be given together")
    parts = open_parts(arguments.operands[0], arguments)
    if not chosen:
        if arguments.json:
            print(json.dumps({"architectures": {part.architecture: _facts(part) for part in parts}}))
        else:
            print("\n\n".join("\n".join(_lines(part)) for part in parts))
        return 0
    if len(parts) > 1:
        found = ", ".join(part.architecture for part in parts)
        raise OperatorError(
            "cli.module.which-arch", f"--{chosen[0]} is about one architecture", found=found, hint="--arch"
        )
    (part,) = parts
    if chosen == ["files"]:
        _print_files(part, as_json=arguments.json)
    else:
        # Encoded anew and in ASCII: nothing a terminal could act on gets through.
        print(json.dumps(part.document if chosen == ["manifest"] else _bill(part), indent=1, sort_keys=True))
    return 0


def _bill(part: Part) -> Json:
    if part.bill is None:
        raise OperatorError(
            "cli.module.no-sbom",
            f"{part.name} has no SBOM that can be read",
            found="; ".join(part.unreadable) or "none is attached",
            hint="`powernode module build` attaches one",
        )
    return part.bill


def _facts(part: Part) -> dict[str, object]:
    """For machines; what is not known is null."""
    from powernode.module.summary import counts, largest, licences

    return {
        "name": part.name,
        "version": part.version,
        "index": part.index,
        "manifest_digest": part.digest,
        "composefs": str(part.composefs),
        "layer": None if part.layer is None else {"digest": part.layer.digest, "size_bytes": part.layer.size},
        "contents": counts(part.tree),
        "manifest": part.document,
        "packages": None
        if part.packages is None
        else [
            {
                "name": package.name,
                "version": package.version,
                "architecture": package.architecture,
                "licence": package.licence,
                "files": package.files,
            }
            for package in part.packages
        ],
        "licences": licences(part.packages or ()),
        "attached": [
            {"kind": each.kind, "title": each.title, "digest": each.digest, "size_bytes": each.size}
            for each in part.attached
        ],
        "signatures": [{"about": each.about, "kind": each.kind, "where": each.where} for each in part.signatures],
        "unreadable": list(part.unreadable),
        "largest": [{"path": _decoded(path), "size_bytes": size} for path, size in largest(part.tree, _SHOWN)],
    }


def _lines(part: Part) -> Iterator[str]:
    from powernode.base.text import clean
    from powernode.cli.module.texts import amount
    from powernode.module.summary import counts, largest, licences

    yield f"{clean(part.name)} {clean(part.version)} for {part.architecture}"
    for label, digest in (("index", part.index), ("manifest", part.digest), ("composefs", str(part.composefs))):
        if digest is not None:
            yield _row(label, digest)
    if part.layer is not None:
        yield _row("layer", f"{part.layer.digest}, {amount(part.layer.size)}")
    held = counts(part.tree)
    yield _row(
        "contents",
        f"{held['files']:,} files, {held['directories']:,} directories, {held['links']:,} links, "
        f"{amount(held['size_bytes'])} in {held['objects']:,} objects",
    )
    if part.digest is not None:
        yield from _list(
            "signatures",
            [f"{each.about}: {each.kind}, {each.where} (not verified)" for each in part.signatures],
            "none",
        )
        attached = [f"{each.title or each.kind}, {amount(each.size)}, {each.digest}" for each in part.attached]
        yield from _list("attached", attached, "nothing")
    yield from _list("unreadable", list(part.unreadable))
    yield from _manifest(part.document)
    if part.packages is not None:
        packages = [f"{each.name} {each.version}, {each.files} files" for each in part.packages]
        yield from _list("packages", packages, "none", most=None)
        named = licences(part.packages)
        known = [f"{name} ({count})" for name, count in named.items() if not name.startswith("LicenseRef-")]
        if len(known) < len(named):
            known.append(f"and {len(named) - len(known)} of their own")
        yield from _list("licences", [", ".join(known)] if known else [])
    biggest = [f"{amount(size):>9}  {clean(path)}" for path, size in largest(part.tree, _SHOWN)]
    yield from _list("largest", biggest)


_LABELS = {
    "display_name": "title",
    "description": "about",
    "license": "licence",
    "file_spec": "ships",
    "mask": "leaves out",
    "protected_spec": "protects",
    "dependency_spec": "depends on",
    "package_spec": "asks for",
    "effective_priority": "priority",
    "parent": "parent",
}


def _manifest(document: Mapping[str, Json]) -> Iterator[str]:
    """The members that people ask about, in words; `--manifest` has all of them."""
    for member, label in _LABELS.items():
        value = document.get(member)
        if isinstance(value, list):
            yield from _list(label, [str(each) for each in value])
        elif value not in (None, ""):
            yield from _list(label, [str(value)])
    for member, value in sorted(_members(document.get("dependencies")).items()):
        yield from _list(member, [str(each) for each in value] if isinstance(value, list) else [])
    yield from _list("init", [f"{verb}: {command}" for verb, command in _members(document.get("init")).items()])
    for member, label, key in (("services", "service", "name"), ("users", "user", "name"), ("groups", "group", "name")):
        yield from _list(label, [_named(each, key) for each in _items(document.get(member))])
    yield from _list("sudo", [_named(each, "service_user") for each in _items(document.get("sudoers"))])
    security = [f"{member}: {_brief(value)}" for member, value in sorted(_members(document.get("security")).items())]
    yield from _list("security", security, "no capabilities, no egress")
    if document.get("reboot_required"):
        yield _row("reboot", "is needed after a change")


def _named(value: Json, key: str) -> str:
    members = dict(_members(value))
    name = members.pop(key, "?")
    others = "; ".join(f"{member}: {_brief(each)}" for member, each in sorted(members.items()))
    return f"{name} ({others})" if others else str(name)


def _brief(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(_brief, value))
    if isinstance(value, dict):
        return ", ".join(f"{member}={_brief(each)}" for member, each in sorted(value.items()))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _members(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else []


def _list(label: str, values: Sequence[str], without: str = "", most: int | None = _SHOWN) -> Iterator[str]:
    from powernode.base.text import clean

    rows = [clean(value) for value in values] or ([without] if without else [])
    if most is not None and len(rows) > most:
        rows = [*rows[:most], f"and {len(rows) - most} more"]
    for number, row in enumerate(rows):
        yield _row("" if number else label, row)


def _row(label: str, text: str) -> str:
    return f"  {label:12}{text}"


def _print_files(part: Part, *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from powernode.base.text import clean
    from powernode.module.summary import listing

    rows = listing(part.tree)
    if as_json:
        # Names that are not UTF-8 are lone surrogates, as in `os.fsdecode`.
        named = [
            asdict(row) | {"path": _decoded(row.path), "target": None if row.target is None else _decoded(row.target)}
            for row in rows
        ]
        print(json.dumps({"files": named}))
        return
    width = max((len(str(row.size)) for row in rows), default=1)
    owners = max((len(f"{row.uid}:{row.gid}") for row in rows), default=1)
    for row in rows:
        target = f" -> {clean(row.target)}" if row.target is not None else ""
        owner = f"{row.uid}:{row.gid}"
        print(f"{row.kind[0]} {row.mode:04o} {owner:{owners}} {row.size:{width}} {clean(row.path)}{target}")


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
