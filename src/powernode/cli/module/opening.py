# SPDX-License-Identifier: MIT
"""What the verbs about modules are given: an OCI layout, a module's folder, a module directory, or a reference."""

from __future__ import annotations

from powernode.base.errors import OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.cli.options import Arguments
    from powernode.module.inspect import Part
    from powernode.oci.layout import Layout
    from powernode.oci.reference import Reference


def find_layout(text: str) -> tuple[Layout, str | None] | None:
    """The layout that `text` means (DIR, DIR:NAME or DIR@DIGEST), with the name or digest; None if it can only be a
    reference. DIR is a layout, or the folder of a module with a build in it."""
    import os

    from powernode.oci.layout import Layout

    at, colon = text.rpartition("@"), text.rpartition(":")
    for folder, version in ((text, None), (at[0], at[2]), (colon[0], colon[2])):
        for path in (folder, os.path.join(folder, "build", "oci")):
            if folder and Layout.is_there(path):
                return Layout(path), version
    if os.path.isdir(text):
        raise no_layout(text)
    return None


def no_layout(text: str) -> OperatorError:
    return OperatorError(
        "cli.module.no-layout",
        f"{text} is no OCI layout and no module with a build in it",
        hint="`powernode module build` makes one",
    )


def version_in(layout: Layout, version: str | None) -> str:
    """The name or digest that was given, else the digest of the only artifact: whatever has a name there."""
    from powernode.module.push import choose

    return version or choose(layout, None).digest


def versioned(text: str) -> tuple[Reference, str]:
    """A reference, and the tag or digest that it must have."""
    from powernode.oci.reference import Reference

    reference = Reference.parse(text)
    if reference.version is None:
        raise OperatorError(
            "cli.module.which", f"which version in {reference}?", expected=f"{reference}:TAG or {reference}@sha256:…"
        )
    return reference, reference.version


def open_parts(text: str, arguments: Arguments) -> tuple[Part, ...]:
    """The module for each architecture, or for the one that `--arch` names."""
    import os
    from pathlib import Path

    from powernode.cli.module.registry import open_registry
    from powernode.module.directory import DOCUMENT
    from powernode.module.inspect import of_directory, of_source
    from powernode.module.reach import LayoutSource, RegistrySource

    if os.path.exists(os.path.join(text, DOCUMENT)):
        part = of_directory(Path(text))
        if arguments.arch not in (None, part.architecture):
            raise OperatorError(
                "module.inspect.architecture", f"the module is not for {arguments.arch}", found=part.architecture
            )
        return (part,)
    found = find_layout(text)
    if found is not None:
        return of_source(LayoutSource(found[0]), version_in(*found), arch=arguments.arch)
    reference, version = versioned(text)
    return of_source(RegistrySource(open_registry(reference, arguments)), version, arch=arguments.arch)
