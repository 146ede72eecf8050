# SPDX-License-Identifier: MIT
"""powernode module verify"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.module.signing import ARTIFACT, REGISTRY_OPTIONS
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.oci.layout import Layout
    from powernode.trust.artifact import Policy, Proof

POLICY_OPTIONS = (
    Option("--key", "FILE", "public keys (PEM) that may have signed; repeat", repeat=True),
    Option("--identity", "TEXT", "who must be named by the signer's certificate, exactly"),
    Option("--identity-regexp", "PATTERN", "the same as a regular expression for the whole name"),
    Option("--issuer", "URL", "who must have vouched for the name, exactly"),
    Option("--issuer-regexp", "PATTERN", "the same as a regular expression for the whole address"),
    Option(
        "--trust-root", "FILE", "authorities and logs to believe: sigstore's trusted_root.json; repeat", repeat=True
    ),
    Option("--ca-chain", "FILE", "authorities (PEM, with their root) without logs and timestamps; repeat", repeat=True),
    Option("--require-log", None, "ask for an entry in a log of the trust roots, of signatures by keys as well"),
)
"""Who may have signed."""

MODULE_OPTION = Option("--module", "NAME", "which module it must be (default: the last part of the repository)")

COMMAND = Command(
    "module verify",
    ARTIFACT,
    "Checks that a module is signed by whom the options name, and says who did, where the signature is and what "
    "digest it is about. It looks among the referrers, at the fallback tag and at cosign's tag. There is no default: "
    "give public keys, or an identity, its issuer and the authorities to believe.",
    options=(
        *POLICY_OPTIONS,
        MODULE_OPTION,
        Option(
            "--attestation", "KIND", "also prove what is said about it: sbom, vex or provenance; repeat", repeat=True
        ),
        Option("--contents", None, "also read everything in a layout, and prove that files and digests agree"),
        *REGISTRY_OPTIONS,
        Option("--json", None, "one JSON object for machines, with the documents of --attestation"),
    ),
    example="powernode module verify --key=publisher.pub build/oci\n"
    "powernode module verify --trust-root=ca/trusted_root.json --issuer=https://git.example.org \\\n"
    "    --identity-regexp='https://git.example.org/acme/.*@refs/tags/v.*' registry.example.com/acme/redis:v1.0.0",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import json
    import time

    from powernode.cli.module.signing import open_store
    from powernode.module.attested import read_attested
    from powernode.module.check import check
    from powernode.module.expected import Expected
    from powernode.module.signing_stores import RegistryStore
    from powernode.module.verify import verify_reference
    from powernode.oci.digests import is_digest

    policy = policy_of(arguments)
    kinds = _kinds(arguments)
    layout = _layout(arguments) if arguments.contents else None
    store, version, where = open_store(arguments.operands[0], arguments)
    name = arguments.module
    if name is None and isinstance(store, RegistryStore) and not is_digest(version):
        name = where.rpartition("/")[2]
    now = int(time.time())
    expected = Expected.of(version, name=name)
    verified = verify_reference(store, version, policy, now=now, expected=expected)
    attested = [
        read_attested(store, manifest, kind, policy, now=now) for manifest in verified.manifests for kind in kinds
    ]
    checked = [check(layout, manifest) for manifest in verified.manifests] if layout is not None else []
    said = _said(verified.digest, verified.proof)
    if arguments.json:
        whole: dict[str, object] = {**said}
        if kinds:
            whole["attestations"] = [
                {"kind": each.kind, **_said(each.subject, each.proof), "document": json.loads(each.document)}
                for each in attested
            ]
        if layout is not None:
            whole["contents"] = [
                {"architecture": each.described.arch, "entries": each.entries, "bytes": each.size} for each in checked
            ]
        print(json.dumps(whole))
        return 0
    _print("verified", said)
    for each in attested:
        _print(f"{each.kind} of", _said(each.subject, each.proof))
    for proven in checked:
        print(f"contents for {proven.described.arch}: {proven.entries} entries, {proven.size} bytes, as stated")
    return 0


def policy_of(arguments: Arguments) -> Policy:
    """What POLICY_OPTIONS ask for."""
    from powernode.cli.keys.files import public_keys, read
    from powernode.module.verify import read_policy

    return read_policy(
        keys=[public_keys(path) for path in arguments.key],
        identity=arguments.identity,
        identity_regexp=arguments.identity_regexp,
        issuer=arguments.issuer,
        issuer_regexp=arguments.issuer_regexp,
        trust_roots=[(path, read(path)) for path in arguments.trust_root],
        ca_chains=[(path, read(path)) for path in arguments.ca_chain],
        require_log=arguments.require_log,
    )


def _kinds(arguments: Arguments) -> tuple[str, ...]:
    from powernode.module.attested import KINDS

    for kind in arguments.attestation:
        if kind not in KINDS:
            raise OperatorError(
                "cli.option",
                f"--attestation cannot be {kind!r}",
                expected=", ".join(KINDS),
                hint="say it once for each",
            )
    return tuple(dict.fromkeys(arguments.attestation))


def _layout(arguments: Arguments) -> Layout:
    from powernode.cli.module.opening import find_layout

    found = find_layout(arguments.operands[0])
    if found is None:
        raise OperatorError(
            "cli.module.contents",
            "contents are read in a layout, not in a registry",
            hint=f"`powernode module pull --layout … {arguments.operands[0]} DIR` first, and verify DIR",
        )
    return found[0]


def _print(title: str, said: dict[str, str | int]) -> None:
    from powernode.base.text import clean

    print(f"{title} {said.pop('digest')}")
    for name, value in said.items():
        print(f"  {name.replace('_', ' ')}: {clean(str(value))}")


def _said(digest: str, proof: Proof) -> dict[str, str | int]:
    """For people and machines alike; what is not known is left out."""
    from powernode.module.subject import rfc3339
    from powernode.trust.policy import TimeSource

    said: dict[str, str | int | None] = {
        "digest": digest,
        "key": proof.key_id,
        "signer": proof.subject,
        "issuer": proof.issuer,
        "authority": proof.root,
        "found": proof.where,
        "log_index": proof.log_index,
        "time_from": proof.time_source.value if proof.time_source else None,
    }
    if proof.signed_at is not None:
        # By our clock nothing is known but that the certificate is valid now.
        said["checked_at" if proof.time_source is TimeSource.CLOCK else "signed_at"] = rfc3339(proof.signed_at)
    if proof.certificate is not None:
        from powernode.trust.x509 import read

        said["until"] = rfc3339(read(proof.certificate).not_after)
    return {name: value for name, value in said.items() if value is not None}
