# SPDX-License-Identifier: MIT
"""Manifests as they were written for the first layout, explained key by key: where each thing goes now.

Nothing is converted: what an old key said may not be what its author wants today (who is trusted to sign, above all).

    explain({"identity": {"name": "x"}})[0].hint            # "name: x at the top of the file, …"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from powernode.manifest.problem import Problem, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json
    from powernode.manifest.problem import Path

__all__ = ["explain"]

_REGISTRATION = "the platform has it: it is set when the module is registered there, not by who writes the module"
_TRUST = "a module cannot say whom to trust for it: verifiers do, and the platform when it is registered there"
_NOT_HERE = {
    "category": ("layout.category", _REGISTRATION),
    "category_id": ("layout.category", _REGISTRATION),
    "variety": ("layout.variety", _REGISTRATION),
    "priority": ("layout.priority", "the platform has it; effective priority is the category's and this one"),
    "effective_priority": ("layout.priority", "who assembles a root says in which order its modules are"),
    "parent": ("layout.parent", _REGISTRATION),
    "parent_module": ("layout.parent", _REGISTRATION),
    "gitea_repo_full_name": ("layout.repository", _REGISTRATION),
    "cosign_identity_regexp": ("layout.trust", _TRUST),
    "cosign_issuer_regexp": ("layout.trust", _TRUST),
}
_AT_THE_TOP = ("name", "display_name", "description", "license")


def explain(document: Json) -> list[Problem]:
    """One problem for each old key; what is below their paths needs no other explanation."""
    if not isinstance(document, dict):
        return []
    return list(_explain(document))


def _explain(document: Mapping[str, Json]) -> Iterator[Problem]:
    identity = document.get("identity")
    if isinstance(identity, dict):
        for key in identity:
            if key in _AT_THE_TOP:
                message = f"identity.{key} is at the top of the file now"
                yield _problem(
                    ("identity", key), "layout.identity", message, f"write {key}: … without identity above it"
                )
            elif key in _NOT_HERE:
                yield _not_here(("identity", key))
        message = "there is no identity: above the name any more"
        yield _problem(("identity",), "layout.identity", message, "name, description and license are keys of the top")
    for key in document:
        if key in _NOT_HERE:
            yield _not_here((key,))
    yield from _globs(document.get("file_spec"))
    yield from _modules(document.get("dependency_spec"))
    yield from _versions(document.get("build"))


def _globs(file_spec: Json) -> Iterator[Problem]:
    if not isinstance(file_spec, dict):
        return
    for key in file_spec:
        path = ("file_spec", key)
        if key == "include":
            yield _problem(
                path, "layout.file-spec", "file_spec is the list itself now", "put its globs right below file_spec"
            )
        elif key == "exclude":
            message = "what file_spec leaves out has a key of its own now"
            yield _problem(path, "layout.file-spec", message, "put these globs into mask, at the top of the file")
    yield Problem(
        path=("file_spec",),
        code="layout.file-spec",
        message="file_spec is a flat list",
        expected='- "/etc/redis/**"',
        at_key=True,
    )


def _modules(dependency_spec: Json) -> Iterator[Problem]:
    if not isinstance(dependency_spec, list):
        return
    for number, entry in enumerate(dependency_spec):
        if not isinstance(entry, dict):
            continue
        name = entry.get("name")
        wanted = f'"OWNER/{name}@^1.0"' if isinstance(name, str) else '"OWNER/MODULE@^1.0"'
        yield Problem(
            path=("dependency_spec", number),
            code="layout.dependency",
            message="the modules that this one needs are in dependencies.requires now",
            expected="globs: dependency_spec is what modules made for this one may ship",
            hint=f"write dependencies: {{requires: [{wanted}]}}",
        )


def _versions(build: Json) -> Iterator[Problem]:
    """Vendored payloads were named one by one."""
    for key in build if isinstance(build, dict) else ():
        if key.endswith("_version") or key in ("firmware_repo", "firmware_ref"):
            message = f"build.{key}: what is not a package is not fetched by the build"
            yield _problem(("build", key), "layout.vendored", message, "put the files below rootfs/")


def _not_here(path: Path) -> Problem:
    code, hint = _NOT_HERE[str(path[-1])]
    return _problem(path, code, f"{path_text(path)} is no key of a manifest", hint)


def _problem(path: Path, code: str, message: str, hint: str) -> Problem:
    return Problem(path=path, code=code, message=message, hint=hint, at_key=True)
