# SPDX-License-Identifier: MIT
"""What `module inspect` and `module diff` look at: a module directory, a layout, or a registry."""

from __future__ import annotations

from powernode.base.errors import OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.cli.options import Arguments
    from powernode.module.inspect import Part


def open_parts(text: str, arguments: Arguments) -> tuple[Part, ...]:
    """The module for each architecture, or for the one that `--arch` names."""
    import os
    from pathlib import Path

    from powernode.cli.module.registry import open_registry
    from powernode.cli.module.signing import open_layout
    from powernode.module.directory import DOCUMENT
    from powernode.module.inspect import of_directory, of_source
    from powernode.module.reach import LayoutSource, RegistrySource
    from powernode.oci.layout import Layout
    from powernode.oci.reference import Reference

    if os.path.exists(os.path.join(text, DOCUMENT)):
        part = of_directory(Path(text))
        if arguments.arch not in (None, part.architecture):
            raise OperatorError(
                "module.inspect.architecture", f"the module is not for {arguments.arch}", found=part.architecture
            )
        return (part,)
    opened = open_layout(text)
    if opened is not None:
        candidates = (text, os.path.join(text, "build", "oci"), text.partition("@")[0], text.rpartition(":")[0])
        layout = next(Layout(path) for path in candidates if Layout.is_there(path))
        return of_source(LayoutSource(layout), opened[1], arch=arguments.arch)
    reference = Reference.parse(text)
    if reference.version is None:
        raise OperatorError(
            "cli.module.which", f"which version in {reference}?", expected=f"{reference}:TAG or {reference}@sha256:…"
        )
    return of_source(RegistrySource(open_registry(reference, arguments)), reference.version, arch=arguments.arch)
