# SPDX-License-Identifier: MIT
"""What a module says about itself: the values of `manifest.yaml`, on the operator's side and on the node.

Invariants: one table (`_table`) and one set of rules (`_rules`) stand behind `problems`, `from_document`, the JSON
Schema and docs/module-manifest.md; `from_document` takes exactly the documents in which `problems` finds nothing;
`from_document(to_document(m)) == m`, and what has its default is left out of a document.

Out of scope: YAML and positions (`module.document`), what depends on files, packages or other modules
(`module.validate`), who owns which path (the merge).

    manifest = from_document({"schema_version": 1, "name": "my-redis", "package_spec": ["redis-server"]})
    manifest.package_spec, manifest.file_spec       # ("redis-server",), None
    [problem.code for problem in problems({"name": "My Redis"})]
"""

from __future__ import annotations

from powernode.manifest._rules import Sound, between
from powernode.manifest._table import MANIFEST
from powernode.manifest._values import (
    Build,
    BuildOption,
    Dependencies,
    Group,
    Health,
    Init,
    ModuleManifest,
    Security,
    Service,
    ServiceDependency,
    Sudoers,
    User,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json
    from powernode.manifest.problem import Problem

__all__ = ["Build", "BuildOption", "Dependencies", "Health", "Init", "ModuleManifest", "Security", "Service"]
__all__ += ["Group", "ServiceDependency", "Sudoers", "User", "from_document", "problems", "to_document"]


def problems(document: Json) -> list[Problem]:
    """Everything that is wrong with a document, in the order of its table, then what is wrong between members."""
    found: list[Problem] = []
    MANIFEST.check(document, (), found.append)
    if isinstance(document, dict):
        found += between(Sound(document, found))
    return found


def from_document(document: Json) -> ModuleManifest:
    """The manifest, or a DataError with the first problem and the number of others."""
    found = problems(document)
    if found:
        others = (
            f"the module manifest (and {len(found) - 1} more problems)" if len(found) > 1 else "the module manifest"
        )
        raise found[0].error(others)
    made = MANIFEST.make(document)
    assert isinstance(made, ModuleManifest)
    return made


def to_document(manifest: ModuleManifest) -> Json:
    """The document with the fewest members; `canonical.encode` of it is the manifest's one spelling."""
    document: Json = MANIFEST.document(manifest)
    return document
