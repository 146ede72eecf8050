# SPDX-License-Identifier: MIT
"""Whether an artifact is signed by whom the policy names.

Invariants: `verify` and `verify_statement` return only after one of the found signatures was proven whole: it is about
this digest; it is by a believed key, or by a certificate under a believed root whose name and issuer match as a whole,
which was valid when the signature was made; everything the root asks for (log, certificate log) is there and right.
One good signature suffices; if there is none, the error has the code of the one that came furthest, and every one's
reason. Nothing here looks at a clock, the network or the environment.

When was it made? A time counts as proven if a log of the root signed it (Rekor 1), or a timestamp authority of the
root (RFC 3161); the certificate must have been valid at each proven time. If there is none, the certificate must be
valid at `now`, or over for no more than the policy's `within`.

Out of scope: finding signatures (`module.signatures`), revocation, whether the clock is right.

    proof = verify("sha256:…", found, policy, now=now)
    proof.subject, proof.signed_at
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from powernode.base.errors import DataError, OperatorError
from powernode.trust import rekor, sct, timestamp, x509
from powernode.trust._utc import utc
from powernode.trust.algorithms import is_by
from powernode.trust.policy import Found, Identity, Kind, Policy, Proof, Statement, TimeSource
from powernode.trust.unpack import Material, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from powernode.trust.keys import PublicKey
    from powernode.trust.root import Authority, Log, TrustRoot
    from powernode.trust.x509 import Certificate

__all__ = [
    "COSIGN_SIGNATURE",
    "MAX_FOUND",
    "Found",
    "Identity",
    "Kind",
    "Policy",
    "Proof",
    "Statement",
    "TimeSource",
    "verify",
    "verify_statement",
]

MAX_FOUND = 64
_MAX_TOLD = 8000  # characters of reasons: some quote what a stranger wrote
_MAX_HINT = 100

COSIGN_SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type by which a statement says no more than that its subject is signed."""

# How far a signature came; the later, the closer it was to being good.
_STAGES = ("malformed", "digest", "key", "root", "log", "timestamp", "expired", "identity", "issuer")


def verify(digest: str, found: Sequence[Found], policy: Policy, *, now: int, content: bytes | None = None) -> Proof:
    """Prove that `digest` ("sha256:…", of the manifest) is signed as `policy` asks.

    `content` is the artifact itself; only bundles with a signature over its bytes need it. A statement that says
    something about the artifact (an SBOM) does not sign it. Codes: trust.artifact.unsigned, and for what is wrong
    trust.artifact.{malformed,digest,key,root,log,timestamp,expired,identity,issuer}.
    """
    return _first(digest, found, policy, now=now, content=content, predicate_types=(None, COSIGN_SIGNATURE))[0]


def verify_statement(
    digest: str, found: Sequence[Found], policy: Policy, *, predicate_type: str, now: int
) -> Statement:
    """The first statement of `predicate_type` about `digest` that is signed as `policy` asks; codes as for `verify`."""
    proof, material = _first(digest, found, policy, now=now, content=None, predicate_types=(predicate_type,))
    return Statement(proof=proof, predicate_type=predicate_type, payload=material.payload or b"")


class _ReasonError(Exception):
    """Why one signature is not good."""

    def __init__(self, cause: str, error: DataError) -> None:
        super().__init__(str(error))
        self.cause = cause
        self.error = error


@contextmanager
def _stage(cause: str) -> Iterator[None]:
    """What is refused inside, is refused for `cause`. What this machine cannot do goes through: it proves nothing."""
    try:
        yield
    except DataError as error:
        raise _ReasonError(cause, error) from error


def _reason(
    cause: str, message: str, *, expected: str | None = None, found: str | None = None, hint: str | None = None
) -> _ReasonError:
    return _ReasonError(cause, DataError(f"trust.artifact.{cause}", message, expected=expected, found=found, hint=hint))


def _first(
    digest: str,
    found: Sequence[Found],
    policy: Policy,
    *,
    now: int,
    content: bytes | None,
    predicate_types: tuple[str | None, ...],
) -> tuple[Proof, Material]:
    _check_policy(policy)
    if not digest.startswith("sha256:") or len(digest) != 71:
        raise DataError(
            "trust.artifact.digest", "this is no digest we can look for", expected="sha256:HEX", found=digest
        )
    if content is not None and f"sha256:{sha256(content).hexdigest()}" != digest:
        raise DataError("trust.artifact.digest", "the artifact's bytes do not have its digest", expected=digest)
    if len(found) > MAX_FOUND:
        raise DataError("trust.artifact.malformed", "too many signatures", expected=f"at most {MAX_FOUND}")
    reasons: list[tuple[Found, _ReasonError]] = []
    for one in found:
        try:
            with _stage("malformed"):
                material = unpack(one, content=content)
            if material.predicate_type in predicate_types:
                return _proof(digest, one, material, policy, now), material
        except _ReasonError as reason:
            reasons.append((one, reason))
    raise _refusal(digest, reasons) from (reasons[-1][1].error if reasons else None)


def _refusal(digest: str, reasons: Sequence[tuple[Found, _ReasonError]]) -> DataError:
    if not reasons:
        return DataError(
            "trust.artifact.unsigned",
            "nobody has signed this",
            expected=f"a signature for {digest}",
            found="none",
            hint="whoever publishes it signs it: `powernode module sign`",
        )
    # The one that was closest to being good says most, so it comes first.
    reasons = sorted(reasons, key=lambda item: -_STAGES.index(item[1].cause))
    furthest = reasons[0][1]
    if len(reasons) == 1:
        one, error = reasons[0][0], furthest.error
        message = f"the signature in {one.where} is not good: {error.message}"
        return DataError(
            f"trust.artifact.{furthest.cause}", message, expected=error.expected, found=error.found, hint=error.hint
        )
    listed = "; ".join(f"{one.where}: {reason.cause}: {reason.error}" for one, reason in reasons)
    message = f"none of {len(reasons)} signatures for {digest} is good"
    return DataError(f"trust.artifact.{furthest.cause}", message, found=listed[:_MAX_TOLD])


def _check_policy(policy: Policy) -> None:
    missing = None
    if not policy.keys and not policy.identities:
        missing = "a key or an identity"
    elif policy.identities and not policy.roots:
        missing = "a trust root for its identities"
    elif policy.require_log and not any(root.logs for root in policy.roots):
        missing = "a trust root with a log"
    elif policy.within < 0:
        missing = "a tolerance of 0 seconds or more"
    if missing is not None:
        raise OperatorError("trust.artifact.policy", "by this policy nothing can be believed", expected=missing)


def _proof(digest: str, found: Found, material: Material, policy: Policy, now: int) -> Proof:
    if digest not in material.digests:
        about = ", ".join(sorted(material.digests)[:4]) or "bytes that are not given"
        raise _reason("digest", "it is about another artifact", expected=digest, found=about)
    for key in policy.keys:
        if is_by(key, material.message, material.signature):
            return _proof_by_key(digest, found, material, policy, key, now)
    if material.leaf is None:
        raise _by_no_key(policy, material, "no key we believe has signed it, and there is no certificate with it")
    if not policy.identities:
        raise _by_no_key(policy, material, "no key we believe has signed it; certificates are not asked for")
    if not is_by(material.leaf.key, material.message, material.signature):
        raise _reason("key", "the certificate's key has not signed it")
    reasons = []
    for root in policy.roots:
        for authority in root.authorities:
            try:
                return _proof_by_certificate(digest, found, material, policy, material.leaf, root, authority, now)
            except _ReasonError as reason:
                reasons.append(reason)
    if not reasons:
        raise _reason("root", "the trust roots have no certificate authority")
    raise max(reasons, key=lambda reason: _STAGES.index(reason.cause))


def _by_no_key(policy: Policy, material: Material, message: str) -> _ReasonError:
    """With the ids of the keys that were asked for, and of the one that the signature calls its own."""
    believed = " or ".join(f"key {key.key_id}" for key in policy.keys)
    if material.leaf is not None:
        found = "a certificate"
    elif material.key_hint:
        found = f"a signature that calls its key {material.key_hint[:_MAX_HINT]}"
    else:
        found = None
    return _reason("key", message, expected=believed or "a certificate", found=found)


def _proof_by_key(digest: str, found: Found, material: Material, policy: Policy, key: PublicKey, now: int) -> Proof:
    logged = time = source = None
    if policy.require_log:
        logged = _check_log(material, _logs(policy), certificate=None, key=key)[0]
        time, source = logged.integrated_time, TimeSource.LOG
        authorities = [authority for root in policy.roots for authority in root.timestamp_authorities]
        if time is None and authorities and material.timestamps:
            time, source = _check_timestamps(material, authorities)[0], TimeSource.TIMESTAMP
        _check_log_at(logged, now if time is None else time)
    return Proof(
        digest=digest,
        kind=found.kind,
        where=found.where,
        key_id=key.key_id,
        signed_at=time,
        time_source=None if time is None else source,
        log_index=None if logged is None else logged.index,
    )


def _proof_by_certificate(
    digest: str,
    found: Found,
    material: Material,
    policy: Policy,
    leaf: Certificate,
    root: TrustRoot,
    authority: Authority,
    now: int,
) -> Proof:
    with _stage("root"):
        between = (*authority.between, *material.between)
        path = x509.find_path(leaf, between, authority.roots, at=leaf.not_before, purpose=x509.CODE_SIGNING)
    logs = root.logs or (_logs(policy) if policy.require_log else ())
    logged = _check_log(material, logs, certificate=leaf.der, key=leaf.key) if logs else []
    times: list[tuple[TimeSource, int]] = []
    if root.timestamp_authorities and material.timestamps:
        stamps = _check_timestamps(material, root.timestamp_authorities)
        times += [(TimeSource.TIMESTAMP, time) for time in stamps]
    if root.logs:  # those of other roots say that it is there, and are not asked when
        times += [(TimeSource.LOG, one.integrated_time) for one in logged if one.integrated_time is not None]
    source, signed_at = _check_times(path, authority, times, now, policy.within)
    for one in logged:
        _check_log_at(one, signed_at)
    if root.certificate_logs:
        with _stage("log"):
            sct.verify(leaf, path[1], root.certificate_logs)
    subject, issuer = _check_identity(leaf, policy.identities)
    return Proof(
        digest=digest,
        kind=found.kind,
        where=found.where,
        subject=subject,
        issuer=issuer,
        certificate=leaf.der,
        root=root.name,
        signed_at=signed_at,
        time_source=source,
        log_index=logged[0].index if logged else None,
    )


def _logs(policy: Policy) -> list[Log]:
    return [log for root in policy.roots for log in root.logs]


def _check_log(
    material: Material, logs: Sequence[Log], *, certificate: bytes | None, key: PublicKey
) -> list[rekor.Logged]:
    """The entries of logs we know, at least one; those of other logs are nobody's word for anything."""
    signed = rekor.Signed(
        message=material.message,
        signature=material.signature,
        payload=material.payload,
        certificate=certificate,
        spki=key.spki,
    )
    known = [(entry, log) for entry in material.entries if (log := rekor.log_of(entry, logs)) is not None]
    if not known:
        raise _reason(
            "log",
            "no log we know has the signature",
            expected=" or ".join(log.origin for log in logs),
            found=f"{len(material.entries)} entries of other logs",
        )
    with _stage("log"):
        return [rekor.verify(entry, signed, log, needs_proof=material.needs_proof) for entry, log in known]


def _check_log_at(logged: rekor.Logged, time: int) -> None:
    """An inclusion proof alone does not say when the log signed it."""
    if not logged.log.is_valid(time):
        raise _reason("log", "the log's key was not valid at the time of the signature", found=utc(time))


def _check_timestamps(material: Material, authorities: Sequence[Authority]) -> list[int]:
    """The times that timestamps prove, the earliest first; one is enough, as others may be by authorities of others."""
    times: list[int] = []
    errors: list[DataError] = []
    for response in material.timestamps:
        try:
            times.append(timestamp.verify(response, material.stamped, authorities))
        except DataError as error:
            errors.append(error)
    if not times:
        raise _ReasonError("timestamp", errors[0])
    return sorted(times)


def _check_times(
    path: Sequence[Certificate], authority: Authority, times: list[tuple[TimeSource, int]], now: int, within: int
) -> tuple[TimeSource, int]:
    leaf = path[0]
    if not times:
        if not leaf.not_before <= now <= leaf.not_after + within:
            raise _reason(
                "expired",
                "the certificate is not valid now, and nobody we trust says when the signature was made",
                expected=f"{utc(leaf.not_before)} to {utc(leaf.not_after)}",
                found=utc(now),
            )
        times = [(TimeSource.CLOCK, min(now, leaf.not_after))]
    for source, time in times:
        for certificate in path:
            if not certificate.is_valid(time):
                raise _reason(
                    "expired",
                    f"a certificate was not valid when the signature was made, as the {source.value} says",
                    expected=f"{utc(certificate.not_before)} to {utc(certificate.not_after)}",
                    found=utc(time),
                )
        if not authority.is_valid(time):
            raise _reason(
                "expired",
                f"the authority was not to be believed when the signature was made, as the {source.value} says",
                expected=f"{utc(authority.start)} to {utc(authority.end)}",
                found=utc(time),
            )
    return times[0]


def _check_identity(leaf: Certificate, identities: Sequence[Identity]) -> tuple[str, str]:
    """The name and the issuer that one identity of the policy matches."""
    with _stage("malformed"):
        names, issuer = leaf.names, leaf.issuer_claim
    named = [(name, one) for one in identities for name in names if one.subject.matches(name)]
    if not named:
        raise _reason(
            "identity",
            "somebody else has signed it",
            expected=" or ".join(str(one.subject) for one in identities),
            found=", ".join(map(repr, names))[:500] or "a certificate without a name",
            hint=next((hint for one in identities for name in names if (hint := one.subject.nearly(name))), None),
        )
    for name, one in named:
        if issuer is not None and one.issuer.matches(issuer):
            return name, issuer
    raise _reason(
        "issuer",
        "somebody else vouches for the signer's name",
        expected=" or ".join(str(one.issuer) for _, one in named),
        found=repr(issuer)[:500] if issuer is not None else "nobody",
        hint=next((hint for _, one in named if (hint := one.issuer.nearly(issuer or ""))), None),
    )
