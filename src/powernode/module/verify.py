# SPDX-License-Identifier: MIT
"""Whether an artifact, in a layout or a registry, is signed by whom the policy names.

Invariants: there is no verifying without a policy, and no policy that accepts everybody: a certificate needs a root, a
name and who vouched for the name. What is returned was proven; everything else is a refusal, with the codes of
`trust.artifact`. A reference by tag is resolved once, and the proof is about that digest: use the digest from there on.
A tag that is a version, and the module's name where it is said, must be those of what was signed (`expected`).

Out of scope: what else is signed about it (`attested`), the mathematics and the rules (`trust`); which repository may
hold whose modules (the platform's rows).

    policy = read_policy(keys=[pem])
    verified = verify_reference(store, "v1.0.0", policy, now=now)
    verified.digest, verified.proof.where
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from powernode.base.errors import DataError, OperatorError
from powernode.module.expected import Expected
from powernode.module.signatures import gather
from powernode.oci.documents import Descriptor, Index, parse_document
from powernode.trust import artifact
from powernode.trust.artifact import Identity, Policy, Proof
from powernode.trust.keys import load_public_keys
from powernode.trust.pattern import Pattern, exact, matching
from powernode.trust.root import private_root, read_trusted_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.module.signatures import Source

__all__ = ["Verified", "read_policy", "verify_reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`descriptor` is what the reference stood for when it was verified; `manifests` are an index's, or just that."""

    descriptor: Descriptor
    manifests: tuple[Descriptor, ...]
    proof: Proof

    @property
    def digest(self) -> str:
        return self.descriptor.digest


def read_policy(
    *,
    keys: Sequence[bytes] = (),
    identity: str | None = None,
    identity_regexp: str | None = None,
    issuer: str | None = None,
    issuer_regexp: str | None = None,
    trust_roots: Sequence[tuple[str, bytes]] = (),
    ca_chains: Sequence[tuple[str, bytes]] = (),
    require_log: bool = False,
) -> Policy:
    """The policy that options or a row ask for; roots come with a name for people. Codes module.verify.*."""
    believed = tuple(key for pem in keys for key in load_public_keys(pem))
    subject_pattern = _pattern("identity", identity, identity_regexp)
    issuer_pattern = _pattern("issuer", issuer, issuer_regexp)
    has_roots = bool(trust_roots or ca_chains)
    # With keys, roots may be there for their logs alone.
    by_certificate = bool(subject_pattern or issuer_pattern or (has_roots and not (believed and require_log)))
    if not believed and not by_certificate:
        raise OperatorError(
            "module.verify.no-policy",
            "who may have signed this?",
            expected="--key, or --identity and --issuer with --ca-chain or --trust-root",
            hint="without a policy every signature would do, so there is no default",
        )
    identities: tuple[Identity, ...] = ()
    if subject_pattern is not None and issuer_pattern is not None and has_roots:
        identities = (Identity(subject=subject_pattern, issuer=issuer_pattern),)
    elif by_certificate:
        missing = [
            name
            for name, is_there in (
                ("--identity or --identity-regexp", subject_pattern is not None),
                ("--issuer or --issuer-regexp", issuer_pattern is not None),
                ("--ca-chain or --trust-root", has_roots),
            )
            if not is_there
        ]
        raise OperatorError(
            "module.verify.incomplete-policy",
            "a certificate is believed for who it names, who vouched for the name, and who issued it",
            expected=" and ".join(missing),
        )
    roots = [read_trusted_root(data, name=name) for name, data in trust_roots]
    roots += [private_root(data, name=name) for name, data in ca_chains]
    return Policy(keys=believed, identities=identities, roots=tuple(roots), require_log=require_log)


def verify_reference(
    source: Source, version: str, policy: Policy, *, now: int, expected: Expected | None = None
) -> Verified:
    """What `version` (a tag or a digest) stands for, proven; codes module.verify.*, trust.artifact.*.

    `expected` is what `version` promises unless the caller knows more: the module's name, or that it promises nothing.
    """
    descriptor = source.find(version)
    if descriptor is None:
        raise OperatorError("module.verify.no-such-artifact", f"there is no {version[:150]}")
    gathered = gather(source, descriptor.digest)
    try:
        content = source.document(descriptor)
        proof = artifact.verify(descriptor.digest, gathered.found, policy, now=now, content=content)
    except DataError as error:
        if not gathered.unreadable:
            raise
        unreadable = "; ".join(gathered.unreadable)[:1000]
        found = f"{error.found}; and what cannot be read: {unreadable}" if error.found else f"unreadable: {unreadable}"
        raise DataError(error.code, error.message, expected=error.expected, found=found, hint=error.hint) from error
    document = parse_document(content, media_type=descriptor.media_type)
    (expected or Expected.of(version)).check_document(document, code="module.verify")
    manifests = document.manifests if isinstance(document, Index) else (descriptor,)
    return Verified(descriptor=descriptor, manifests=manifests, proof=proof)


def _pattern(what: str, text: str | None, expression: str | None) -> Pattern | None:
    if text is not None and expression is not None:
        raise OperatorError("module.verify.two-patterns", f"--{what} and --{what}-regexp exclude each other")
    if expression is not None:
        return matching(expression)
    return None if text is None else exact(text)
