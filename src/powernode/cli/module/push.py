# SPDX-License-Identifier: MIT
"""powernode module push"""

from __future__ import annotations

import sys

from powernode.base.errors import OperatorError
from powernode.cli.module.registry import REGISTRY_OPTIONS
from powernode.cli.options import Arguments, Command, Option, natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.oci.documents import Descriptor
    from powernode.oci.layout import Layout
    from powernode.oci.reference import Reference

COMMAND = Command(
    "module push",
    "LAYOUT[:NAME] REF",
    "Sends a module to a registry: its blobs, side by side, and only those that are not there; its manifests; SBOM, "
    "provenance and signatures, as referrers; and its tags last. LAYOUT is what `module build` wrote, or a module's "
    "folder with a build in it. The tag is that of REF, else the name in the layout. What `module pull` would refuse "
    "is pushed with a warning.",
    options=(
        Option("--tag", "TAG", "another tag for it; repeat", repeat=True),
        Option("--mount-from", "NAME", "a repository of the same registry that may have blobs; repeat", repeat=True),
        Option("--jobs", "N", "how many blobs at a time", natural, default=4),
        *REGISTRY_OPTIONS,
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module push build/oci registry.example.com/acme/my-redis\n"
    "powernode module push my-redis 127.0.0.1:5000/acme/my-redis:v0.1.0 --tag=latest",
    least=2,
    most=2,
)


def run(arguments: Arguments) -> int:
    from powernode.base.text import clean
    from powernode.cli.module.opening import refuse_swapped
    from powernode.cli.module.registry import open_registry
    from powernode.cli.module.traffic import traffic_of
    from powernode.cli.output import Progress
    from powernode.module.push import doubts, push
    from powernode.oci.reference import Reference

    refuse_swapped(*arguments.operands)
    reference = Reference.parse(arguments.operands[1])
    if reference.digest is not None:
        raise OperatorError("cli.module.push", "a digest is what comes of a push", hint="name a tag, or nothing")
    layout, root, name = _opened(arguments.operands[0], reference)
    own = reference.tag or name
    tags = list(dict.fromkeys([*([own] if own else []), *arguments.tag]))
    if not tags:
        raise OperatorError("cli.module.push", "what was named by its digest has no name", expected=f"{reference}:TAG")
    for tag in tags:
        reference.tagged(tag)
    registry = open_registry(reference, arguments)
    with Progress("sending") as progress:
        pushed = push(
            layout,
            root,
            registry,
            tags=tags,
            jobs=arguments.jobs,
            mount_from=arguments.mount_from,
            progress=progress.callback(),
        )
    pinned = reference.pinned(pushed.digest)
    traffic = traffic_of(registry)
    warnings = [clean(doubt) for doubt in doubts(pushed, reference)]
    if arguments.json:
        import json

        document = {
            "reference": str(pinned),
            "digest": pushed.digest,
            "tags": list(pushed.tags),
            "moved": pushed.moved,
            "warnings": warnings,
            "blobs": {
                "sent": pushed.sent_blobs,
                "sent_bytes": pushed.sent_bytes,
                "mounted": pushed.mounted_blobs,
                "skipped": pushed.skipped_blobs,
            },
            "manifests": {"sent": pushed.sent_manifests, "skipped": pushed.skipped_manifests},
            "referrers": pushed.referrers,
            "traffic": traffic,
        }
        print(json.dumps(document))
        return 0
    print(f"pushed {pinned}")
    for tag in pushed.tags:
        before = f", which named {pushed.moved[tag]}" if tag in pushed.moved else ""
        print(f"  tag {reference.tagged(tag)}{before}")
    print(f"  blobs: {pushed.sent_blobs} sent, {pushed.mounted_blobs} mounted, {pushed.skipped_blobs} were there")
    print(f"  manifests: {pushed.sent_manifests} sent, {pushed.skipped_manifests} were there")
    print(f"  on the wire: {traffic['sent_bytes']:,} bytes out, {traffic['received_bytes']:,} in")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _opened(text: str, reference: Reference) -> tuple[Layout, Descriptor, str | None]:
    """The layout, what of it is meant, and its name there if it has one."""
    from powernode.cli.module.opening import layout_at, no_layout
    from powernode.module.push import choose
    from powernode.oci.documents import REF_NAME

    found = layout_at(text)
    if found is None:
        raise no_layout(text)
    layout, wanted = found
    if wanted is None and reference.tag in {entry.annotations.get(REF_NAME) for entry in layout.entries()}:
        wanted = reference.tag
    root = choose(layout, wanted)
    return layout, root, root.annotations.get(REF_NAME)
