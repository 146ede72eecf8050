# SPDX-License-Identifier: MIT
"""The boot set that some modules make: their merged root, and each of them in the order of its priority."""

from __future__ import annotations

from collections.abc import Sequence

from powernode.module.directory import Module, Root
from powernode.wire.bootset import BootSet, ModuleRef, RootPolicy

__all__ = ["describe"]


def describe(
    modules: Sequence[Module], root: Root, *, serial: int, instance: str, not_after: int | None, policy: str
) -> BootSet:
    ordered = sorted(modules, key=lambda module: (module.facts.effective_priority, module.facts.name))
    return BootSet(
        serial=serial,
        instance=instance,
        not_after=not_after,
        root_digest=root.digest,
        root_policy=RootPolicy(policy),
        modules=tuple(
            ModuleRef(name=module.facts.name, version=module.facts.version, digest=module.digest) for module in ordered
        ),
    )
