# SPDX-License-Identifier: MIT
"""powernode module pull"""

from __future__ import annotations

import sys

from powernode.base.errors import OperatorError
from powernode.cli.module.registry import REGISTRY_OPTIONS
from powernode.cli.module.verify import MODULE_OPTION, POLICY_OPTIONS
from powernode.cli.options import Arguments, Command, Option, natural, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.oci.client import Registry
    from powernode.oci.documents import Descriptor
    from powernode.oci.reference import Reference
    from powernode.trust.artifact import Proof

_DANGER = "--insecure-unverified"
_NAMES = {
    "unchanged": "was there already",
    "layer_bytes": "bytes read of the layer",
    "fetched_objects": "objects fetched",
    "fetched_blobs": "blobs fetched",
}

COMMAND = Command(
    "module pull",
    "REF DIR",
    "Fetches a module from a registry into a module directory, after it was verified to be signed by whom the options "
    "name. Of the layer only those objects are fetched that are not there; a module that has not changed costs its "
    "manifests. It must be the module and version that REF names. What was there is replaced in one step.",
    options=(
        Option("--arch", "ARCH", "for which architecture (default: this machine's)", one_of("amd64", "arm64")),
        Option("--store", "DIR", "an object store to share between modules; DIR/objects becomes a link to it"),
        Option("--layout", None, "make DIR an OCI layout of the artifact and all that is said about it"),
        *POLICY_OPTIONS,
        MODULE_OPTION,
        Option(_DANGER, None, "DANGER: take it from whoever it comes, with nothing verified but digests"),
        Option("--recheck", None, "also read what is there already, and fetch again what was changed"),
        Option("--jobs", "N", "how many requests at a time", natural, default=4),
        *REGISTRY_OPTIONS,
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module pull --key=publisher.pub registry.example.com/acme/redis:v1.0.0 modules/redis",
    least=2,
    most=2,
)


def run(arguments: Arguments) -> int:
    import json

    from powernode.base.text import clean
    from powernode.cli.image.options import host_arch
    from powernode.cli.module.opening import versioned
    from powernode.cli.module.registry import open_registry
    from powernode.cli.module.traffic import traffic_of

    reference, version = versioned(arguments.operands[0])
    for other in ("store", "recheck"):
        if arguments.layout and getattr(arguments, other):
            raise OperatorError("cli.option", f"--layout and --{other} exclude each other")
    registry = open_registry(reference, arguments)
    root, proof = _verified(registry, version, arguments)
    if arguments.layout:
        said = _to_layout(registry, root, reference, arguments)
    else:
        said = _to_directory(registry, root, reference, arguments.arch or host_arch(), arguments)
    traffic = traffic_of(registry)
    if arguments.json:
        head = {"reference": str(reference.pinned(root.digest)), "digest": root.digest, "verified": proof is not None}
        print(json.dumps({**head, **said, "traffic": traffic}))
        return 0
    print(f"pulled {reference.pinned(root.digest)}")
    print(f"  {'NOT VERIFIED' if proof is None else clean(f'verified: signed by {_by(proof)}')}")
    for name, value in said.items():
        print(f"  {_NAMES.get(name, name.replace('_', ' '))}: {_text(value)}")
    print(f"  on the wire: {traffic['received_bytes']:,} bytes in, {traffic['sent_bytes']:,} out")
    return 0


def _by(proof: Proof) -> str:
    return f"key {proof.key_id}" if proof.key_id is not None else f"{proof.subject}, says {proof.issuer}"


def _text(value: str | int | bool) -> str:
    """For people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else value


def _verified(registry: Registry, version: str, arguments: Arguments) -> tuple[Descriptor, Proof | None]:
    """What the version stands for, after its signatures were looked at; or, loudly, without."""
    if arguments.insecure_unverified:
        policies = [option.name for option in POLICY_OPTIONS if getattr(arguments, option.key)]
        if policies:
            raise OperatorError("cli.module.pull", f"{_DANGER} and {policies[0]} exclude each other")
        print(f"warning: {_DANGER}: nobody knows who made this module", file=sys.stderr)
        return registry.manifest(version).descriptor, None
    import time

    from powernode.cli.module.verify import policy_of
    from powernode.module.expected import Expected
    from powernode.module.signing_stores import RegistryStore
    from powernode.module.verify import verify_reference

    # Name and version are compared when it is pulled, verified or not.
    policy, anything = policy_of(arguments), Expected()
    store = RegistryStore(registry)
    verified = verify_reference(store, version, policy, now=int(time.time()), expected=anything)
    return verified.descriptor, verified.proof


def _to_directory(
    registry: Registry, root: Descriptor, reference: Reference, arch: str, arguments: Arguments
) -> dict[str, str | int | bool]:
    from pathlib import Path

    from powernode.cli.output import Progress
    from powernode.module.expected import Expected
    from powernode.module.pull import pull

    with Progress("fetching") as progress:
        pulled = pull(
            registry,
            root,
            Path(arguments.operands[1]),
            arch=arch,
            store=Path(arguments.store) if arguments.store else None,
            expected=Expected.by(reference, name=arguments.module),
            recheck=arguments.recheck,
            jobs=max(1, arguments.jobs),
            progress=progress.callback(),
        )
    return {
        "directory": str(pulled.module.directory),
        "name": pulled.module.facts.name,
        "version": pulled.module.facts.version,
        "architecture": pulled.module.facts.architecture,
        "manifest": pulled.manifest,
        "composefs": str(pulled.module.digest),
        "unchanged": pulled.is_unchanged,
        "fetched_objects": pulled.fetched_objects,
        "layer_bytes": pulled.layer_bytes,
    }


def _to_layout(
    registry: Registry, root: Descriptor, reference: Reference, arguments: Arguments
) -> dict[str, str | int | bool]:
    from powernode.cli.output import Progress
    from powernode.module.expected import Expected
    from powernode.module.pull import pull_layout
    from powernode.oci.layout import Layout

    layout = Layout.create(arguments.operands[1])
    with Progress("fetching") as progress:
        fetched = pull_layout(
            registry,
            root,
            layout,
            name=reference.tag,
            arch=arguments.arch,
            expected=Expected.by(reference, name=arguments.module),
            jobs=arguments.jobs,
            progress=progress.callback(),
        )
    return {"layout": layout.path, "unchanged": fetched == 0, "fetched_blobs": fetched}
