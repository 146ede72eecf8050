# SPDX-License-Identifier: MIT
"""powernode module verify"""

from __future__ import annotations

from powernode.cli.module.signing import ARTIFACT, REGISTRY_OPTIONS
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.module.verify import Verified
    from powernode.trust.artifact import Policy

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
)
"""Who may have signed."""

MODULE_OPTION = Option("--module", "NAME", "which module it must be (default: the last part of the repository)")

COMMAND = Command(
    "module verify",
    ARTIFACT,
    "Checks that a module is signed by whom the options name, and says who did, where the signature is and what "
    "digest it is about. It looks among the referrers, at the fallback tag and at cosign's tag. There is no default: "
    "give public keys, or an identity, its issuer and the authorities to believe.",
    options=(*POLICY_OPTIONS, MODULE_OPTION, *REGISTRY_OPTIONS, Option("--json", None, "one JSON object for machines")),
    example="powernode module verify --key=publisher.pub build/oci\n"
    "powernode module verify --trust-root=ca/trusted_root.json --issuer=https://git.example.org \\\n"
    "    --identity-regexp='https://git.example.org/acme/.*@refs/tags/v.*' registry.example.com/acme/redis:v1.0.0",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import time

    from powernode.base.text import clean
    from powernode.cli.module.signing import open_store
    from powernode.module.expected import Expected
    from powernode.module.signing_stores import RegistryStore
    from powernode.module.verify import verify_reference
    from powernode.oci.digests import is_digest

    policy = policy_of(arguments)
    store, version, where = open_store(arguments.operands[0], arguments)
    name = arguments.module
    if name is None and isinstance(store, RegistryStore) and not is_digest(version):
        name = where.rpartition("/")[2]
    expected = Expected.of(version, name=name)
    verified = verify_reference(store, version, policy, now=int(time.time()), expected=expected)
    said = _said(verified)
    if arguments.json:
        import json

        print(json.dumps(said))
        return 0
    print(f"verified {said.pop('digest')}")
    for name, value in said.items():
        print(f"  {name.replace('_', ' ')}: {clean(str(value))}")
    return 0


def policy_of(arguments: Arguments) -> Policy:
    """What POLICY_OPTIONS ask for."""
    from powernode.cli.keys.files import read
    from powernode.module.verify import read_policy

    return read_policy(
        keys=[read(path) for path in arguments.key],
        identity=arguments.identity,
        identity_regexp=arguments.identity_regexp,
        issuer=arguments.issuer,
        issuer_regexp=arguments.issuer_regexp,
        trust_roots=[(path, read(path)) for path in arguments.trust_root],
        ca_chains=[(path, read(path)) for path in arguments.ca_chain],
    )


def _said(verified: Verified) -> dict[str, str | int]:
    """For people and machines alike; what is not known is left out."""
    from datetime import UTC, datetime

    proof = verified.proof
    said: dict[str, str | int | None] = {
        "digest": verified.digest,
        "key": proof.key_id,
        "signer": proof.subject,
        "issuer": proof.issuer,
        "authority": proof.root,
        "found": proof.where,
        "log_index": proof.log_index,
        "time_from": proof.time_source.value if proof.time_source else None,
    }
    if proof.signed_at is not None:
        said["signed_at"] = f"{datetime.fromtimestamp(proof.signed_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if proof.certificate is not None:
        from powernode.trust.x509 import read

        said["until"] = f"{datetime.fromtimestamp(read(proof.certificate).not_after, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {name: value for name, value in said.items() if value is not None}
