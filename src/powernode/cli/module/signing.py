# SPDX-License-Identifier: MIT
"""Which artifact a verb is about: one in a layout, or one in a registry."""

from __future__ import annotations

from powernode.cli.module.opening import find_layout, version_in, versioned
from powernode.cli.module.registry import REGISTRY_OPTIONS, open_registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.cli.options import Arguments
    from powernode.module.sign import Target

__all__ = ["ARTIFACT", "REGISTRY_OPTIONS", "open_store"]

ARTIFACT = "LAYOUT[:NAME]|REF"


def open_store(text: str, arguments: Arguments) -> tuple[Target, str, str]:
    """The store, the version in it, and the name people know it by."""
    import os

    from powernode.module.signing_stores import LayoutStore, RegistryStore

    found = find_layout(text)
    if found is not None:
        layout, _ = found
        return LayoutStore(layout), version_in(*found), os.path.basename(os.path.abspath(layout.path))
    reference, version = versioned(text)
    store = RegistryStore(open_registry(reference, arguments))
    return store, version, f"{reference.registry}/{reference.repository}"
