# SPDX-License-Identifier: MIT
"""Which artifact a verb is about: one in a layout, or one in a registry."""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.module.registry import REGISTRY_OPTIONS, open_registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.cli.options import Arguments
    from powernode.module.sign import Target

__all__ = ["ARTIFACT", "REGISTRY_OPTIONS", "open_layout", "open_store"]

ARTIFACT = "LAYOUT[:NAME]|REF"


def open_store(text: str, arguments: Arguments) -> tuple[Target, str, str]:
    """The store, the version in it, and the name people know it by."""
    opened = open_layout(text)
    if opened is not None:
        return opened
    from powernode.module.signing_stores import RegistryStore
    from powernode.oci.reference import Reference

    reference = Reference.parse(text)
    if reference.version is None:
        raise OperatorError(
            "cli.module.which", f"which version in {reference}?", expected=f"{reference}:TAG or {reference}@sha256:…"
        )
    store = RegistryStore(open_registry(reference, arguments))
    return store, reference.version, f"{reference.registry}/{reference.repository}"


def open_layout(text: str) -> tuple[Target, str, str] | None:
    """The store, the version in it and a name for people, if `text` means a layout; None if it is a reference."""
    import os

    from powernode.module.push import choose
    from powernode.module.signing_stores import LayoutStore
    from powernode.oci.layout import Layout

    named = [text.partition("@")[::2], text.rpartition(":")[::2]]
    for path, version in [(text, ""), (os.path.join(text, "build", "oci"), ""), *named]:
        if path and Layout.is_there(path):
            layout = Layout(path)
            # Without a name it is the only one: a digest says which, whatever else has a name there.
            return (
                LayoutStore(layout),
                version or choose(layout, None).digest,
                os.path.basename(os.path.abspath(path)),
            )
    if os.path.isdir(text):
        raise OperatorError(
            "cli.module.no-layout", f"{text} is no OCI layout", hint="`powernode module build` makes one"
        )
    return None
