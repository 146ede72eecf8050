# SPDX-License-Identifier: MIT
"""What is said about an artifact by whom the policy names: its SBOM, VEX or provenance, proven.

Invariants: the document that is returned is the one that was signed, either as a statement about the artifact or, if it
is too large for one, as an artifact of its own which refers to it (`sign` makes both). What only lies beside the
artifact proves nothing, whoever put it there; nor does it hide what is signed, unless there is more than anybody would
look at: then the refusal says so.

Out of scope: whether the artifact itself is signed (`verify`); what the document says.

    attested = read_attested(store, manifest_descriptor, "sbom", policy, now=now)
    attested.proof.key_id, json.loads(attested.document)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from powernode.base.errors import DataError
from powernode.module import provenance, sbom, vex
from powernode.module.sign import PREDICATES
from powernode.module.signatures import Source, gather, listed, read_document
from powernode.oci.documents import Descriptor, Manifest
from powernode.trust import artifact
from powernode.trust.artifact import Policy, Proof

__all__ = ["KINDS", "Attested", "read_attested"]

KINDS: Mapping[str, str] = {"sbom": sbom.MEDIA_TYPE, "vex": vex.MEDIA_TYPE, "provenance": provenance.MEDIA_TYPE}
"""What people call them, and their artifact types."""

_MAX_DOCUMENT = 64 << 20
_MAX_LOOKED_AT = 64
_HINTS = {"vex": "only `powernode module build --advisories` writes one; "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """`document` is JSON: the predicate, or for a large document all of it."""

    kind: str
    subject: str
    proof: Proof
    document: bytes


def read_attested(source: Source, subject: Descriptor, kind: str, policy: Policy, *, now: int) -> Attested:
    """The first document of this kind about `subject` that is signed as `policy` asks; codes trust.artifact.*."""
    media_type = KINDS[kind]
    predicate_type = PREDICATES.get(media_type, provenance.PREDICATE_TYPE)
    try:
        statement = artifact.verify_statement(
            subject.digest, gather(source, subject.digest).found, policy, predicate_type=predicate_type, now=now
        )
    except DataError as error:
        if media_type not in PREDICATES:
            raise _none(kind, subject, error) from error
        unreadable: list[str] = []
        alone = _signed_alone(source, subject, kind, policy, now, unreadable)
        if alone is None:
            raise _none(kind, subject, error, unreadable) from error
        return alone
    document = json.dumps(json.loads(statement.payload).get("predicate")).encode()
    return Attested(kind=kind, subject=subject.digest, proof=statement.proof, document=document)


def _signed_alone(
    source: Source, subject: Descriptor, kind: str, policy: Policy, now: int, unreadable: list[str]
) -> Attested | None:
    """A document that did not fit into a statement: its manifest is signed, and says what it is about."""
    looked_at = set[str]()
    for referrer in _of_kind(source, subject, KINDS[kind], unreadable):
        if referrer.digest in looked_at:
            continue
        if len(looked_at) == _MAX_LOOKED_AT:
            raise DataError(
                "module.signatures.too-many",
                f"there are too many documents of this kind ({kind}) to look at",
                expected=f"at most {_MAX_LOOKED_AT} about {subject.digest}",
                hint="whoever may push to the repository can add some: remove what is not yours",
            )
        looked_at.add(referrer.digest)
        try:
            found = _read_alone(source, referrer, subject, kind, policy, now)
        except DataError as error:  # another may be good; if none is, the reason is that of the statements
            if not error.code.startswith("trust."):
                unreadable.append(f"{referrer.digest}: {error}")
        else:
            if found is not None:
                return found
    return None


def _of_kind(source: Source, subject: Descriptor, media_type: str, unreadable: list[str]) -> Iterator[Descriptor]:
    try:
        for referrer, _ in listed(source, subject.digest):
            if referrer.artifact_type == media_type:
                yield referrer
    except DataError as error:
        unreadable.append(f"the list of referrers: {error}")


def _read_alone(
    source: Source, referrer: Descriptor, subject: Descriptor, kind: str, policy: Policy, now: int
) -> Attested | None:
    manifest = read_document(source, referrer)
    if not isinstance(manifest, Manifest) or manifest.subject is None or len(manifest.layers) != 1:
        return None
    if manifest.subject.digest != subject.digest or manifest.kind != KINDS[kind]:
        return None
    proof = artifact.verify(referrer.digest, gather(source, referrer.digest).found, policy, now=now)
    document = source.blob(manifest.layers[0], max_bytes=_MAX_DOCUMENT)
    return Attested(kind=kind, subject=subject.digest, proof=proof, document=document)


def _none(kind: str, subject: Descriptor, error: DataError, unreadable: Sequence[str] = ()) -> DataError:
    if error.code != "trust.artifact.unsigned":
        return error
    return DataError(
        error.code,
        f"nobody has signed a document of this kind ({kind}) about {subject.digest}",
        found=f"unreadable: {'; '.join(unreadable)[:1000]}" if unreadable else None,
        hint=f"{_HINTS.get(kind, '')}`powernode module sign` signs what `module build` wrote, in the layout, before it "
        "is pushed",
    )
