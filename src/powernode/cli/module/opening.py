# SPDX-License-Identifier: MIT
"""What the verbs about modules are given: an OCI layout, a module's folder, a module directory, or a reference."""

from __future__ import annotations

from contextlib import contextmanager

from powernode.base.errors import OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from powernode.cli.options import Arguments
    from powernode.module.inspect import Part
    from powernode.oci.layout import Layout
    from powernode.oci.reference import Reference


def find_layout(text: str) -> tuple[Layout, str | None] | None:
    """The layout that `text` means (DIR, DIR:NAME or DIR@DIGEST), with the name or digest; None if it can only be a
    reference. DIR is a layout, or the folder of a module with a build in it."""
    import os

    from powernode.oci.reference import names_registry

    found = layout_at(text)
    if found is None and os.path.isdir(text):
        raise no_layout(text)
    if found is None and not names_registry(text):
        raise no_layout(text, code="oci.reference.registry")
    return found


def layout_at(text: str) -> tuple[Layout, str | None] | None:
    """The same, whatever else `text` may be."""
    import os

    from powernode.oci.layout import Layout

    at, colon = text.rpartition("@"), text.rpartition(":")
    for folder, version in ((text, None), (at[0], at[2]), (colon[0], colon[2])):
        for path in (folder, os.path.join(folder, "build", "oci")):
            if folder and Layout.is_there(path):
                return Layout(path), version
    return None


def no_layout(text: str, *, code: str = "cli.module.no-layout") -> OperatorError:
    """What is to be said of a text that could only be a folder with a layout."""
    import os

    from powernode.oci.layout import Layout

    if os.path.isdir(text):
        near = [os.path.normpath(os.path.join(text, path)) for path in ("oci", "../oci")]  # of `build`, `build/amd64`
        message, hint = (
            f"{text} is no OCI layout and no module with a build in it",
            "`powernode module build` makes one",
        )
    else:
        above, name = os.path.split(text.rstrip("/"))
        near = [os.path.join(above, each) for each in _alike(name.partition(":")[0], above or ".")]
        message = f"there is no folder {text}"
        hint = "what is in a registry begins with its name: registry.example.com/acme/redis:v1.0.0"
    hint = next((f"did you mean {path}?" for path in near if Layout.is_there(path)), hint)
    return OperatorError(code, message, hint=hint)


def _alike(name: str, folder: str) -> list[str]:
    import os
    from contextlib import suppress
    from difflib import get_close_matches

    with suppress(OSError):
        return get_close_matches(name, os.listdir(folder))
    return []


def refuse_swapped(layout: str, reference: str) -> None:
    """What is sent comes before where it goes."""
    if layout_at(layout) is None and layout_at(reference) is not None:
        raise OperatorError(
            "cli.module.swapped",
            "what is sent comes first, then where it goes",
            found=f"{layout} {reference}",
            hint=f"powernode module push {reference} {layout}",
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
    from powernode.oci.documents import REF_NAME

    if os.path.exists(os.path.join(text, DOCUMENT)):
        part = of_directory(Path(text))
        if arguments.arch not in (None, part.architecture):
            raise OperatorError(
                "module.inspect.architecture", f"the module is not for {arguments.arch}", found=part.architecture
            )
        return (part,)
    found = find_layout(text)
    if found is not None:
        layout, _ = found
        with _saying_where(layout.path, [entry.annotations.get(REF_NAME) for entry in layout.entries()]):
            return of_source(LayoutSource(layout), version_in(*found), arch=arguments.arch)
    reference, version = versioned(text)
    with _saying_where(f"{reference.registry}/{reference.repository}", []):
        return of_source(RegistrySource(open_registry(reference, arguments)), version, arch=arguments.arch)


@contextmanager
def _saying_where(where: str, names: Sequence[str | None]) -> Iterator[None]:
    """A refusal of what is not there says where, and which names are: two operands may be meant."""
    try:
        yield
    except OperatorError as error:
        if error.code != "module.inspect.none":
            raise
        known = ", ".join(sorted({name for name in names if name}))[:500] or None
        message = f"{error.message} in {where}"
        raise OperatorError(error.code, message, expected=known, hint=error.hint) from error
