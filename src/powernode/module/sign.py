# SPDX-License-Identifier: MIT
"""Sign an artifact where it is: its index, the manifest of each architecture, and what is said about those.

For each of them a sigstore bundle becomes a referrer; cosign's `.sig` tag is written too when asked for. With `attest`,
unsigned SBOM, VEX and provenance (referrers themselves) become signed attestations: the same document, in a statement
about the manifest, in a bundle; one that is too large for that is signed where it is, as the artifact it is.

Only attest what is in your own hands, a layout: in a registry, whoever may push may have added documents of theirs.

Invariants: what was signed before stays; everything is stored before anything names it. Signing the same artifact with
the same key a second time changes nothing, as signatures are reproducible; with a log, a timestamp or a certificate of
ten minutes each time adds one more.

Out of scope: keys and certificates (`signing`); HTTP to logs (`signing_services`, through `evidence`).

    for done in sign(store, "v1.0.0", Signer(key=key)):
        done.digest, done.what, done.where
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from powernode.base import canonical
from powernode.base.errors import DataError, OperatorError
from powernode.module.signatures import Source, fallback_tag, listed, read_document
from powernode.oci.documents import EMPTY, EMPTY_CONFIG, IMAGE_CONFIG, Descriptor, Index, Manifest
from powernode.signing import artifact
from powernode.signing.artifact import Evidence, Signed, Signer
from powernode.trust.artifact import MAX_FOUND
from powernode.wire import intoto

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["PREDICATES", "Done", "Target", "sign"]

PREDICATES: Mapping[str, str] = {
    "application/vnd.cyclonedx+json": "https://cyclonedx.org/bom",
    "application/vnd.openvex+json": "https://openvex.dev/ns/v0.2.0",
}
"""What documents of these types are called as predicates; an in-toto statement says it itself."""

_CONTENT = "dev.sigstore.bundle.content"
_PREDICATE = "dev.sigstore.bundle.predicateType"
_MAX_ATTESTED = 4 << 20  # twice in base64 it must fit into a bundle, and logs take no more
_NO_TIME = "0001-01-01T00:00:00Z"
_MAX_DEPTH = 64


class Target(Source, Protocol):
    """A source that can be written to."""

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a blob."""

    def publish(self, manifest: Manifest, *, tag: str | None = None) -> Descriptor:
        """Keep a manifest whose blobs are there; with a `subject` it becomes one of its referrers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One signature: `digest` is what it is about, `what` says so for people, `where` is what holds it."""

    digest: str
    what: str
    where: str
    signed: Signed


def no_evidence(_: Signed) -> Evidence:
    return Evidence()


def sign(
    target: Target,
    version: str,
    signer: Signer,
    *,
    name: str = "",
    evidence: Callable[[Signed], Evidence] = no_evidence,
    cosign_tag: bool = False,
    attest: bool = False,
) -> Iterator[Done]:
    """Sign what has this tag or digest, part by part; `name` is where it is published, for people who read payloads."""
    root = target.find(version)
    if root is None:
        raise OperatorError("module.sign.no-such-artifact", f"there is no {version} to sign")
    bundles = _Bundles(target, signer, evidence)
    for subject, what in _subjects(target, root):
        # What there is to attest is looked up first: a bundle we add is about the same subject.
        documents = list(_documents(target, subject)) if attest else []
        yield bundles.add(subject, what)
        if cosign_tag:
            signed = artifact.sign_simple(signer, subject.digest, name)
            where = _append(target, subject, signed, evidence(signed))
            yield Done(digest=subject.digest, what=what, where=where, signed=signed)
        for document, manifest in documents:
            kind = document.artifact_type or ""
            if manifest.layers[0].size > _MAX_ATTESTED:
                yield bundles.add(document, f"{what}: {kind}, too large to attest")
                continue
            predicate_type, predicate = _predicate(target, kind, manifest)
            if predicate_type is not None:
                yield bundles.add(subject, f"{what}: {predicate_type}", predicate_type, predicate)


def _subjects(target: Target, root: Descriptor) -> Iterator[tuple[Descriptor, str]]:
    document = read_document(target, root)
    if isinstance(document, Index):
        for entry in document.manifests:
            architecture = entry.platform.architecture if entry.platform else entry.digest
            yield entry, f"manifest of {architecture}"
    # The index comes last: where its signature is, everything is signed.
    yield root, "index" if isinstance(document, Index) else "manifest"


class _Bundles:
    def __init__(self, target: Target, signer: Signer, evidence: Callable[[Signed], Evidence]) -> None:
        self._target = target
        self._signer = signer
        self._evidence = evidence

    def add(
        self,
        subject: Descriptor,
        what: str,
        predicate_type: str = artifact.SIGNATURE_PREDICATE,
        predicate: Json | None = None,
    ) -> Done:
        """A signed statement about the subject becomes one of its referrers; by itself it says that it is signed."""
        statement = artifact.statement(subject.digest, predicate_type, {} if predicate is None else predicate)
        signed = artifact.sign_statement(self._signer, statement)
        data = artifact.bundle(signed, self._evidence(signed))
        manifest = Manifest(
            config=self._target.put(EMPTY, EMPTY_CONFIG),
            layers=(self._target.put(data, artifact.BUNDLE_TYPE),),
            artifact_type=artifact.BUNDLE_TYPE,
            subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
            annotations={_CONTENT: "dsse-envelope", _PREDICATE: predicate_type},
        )
        where = self._target.publish(manifest)
        return Done(digest=subject.digest, what=what, where=f"referrer {where.digest}", signed=signed)


def _append(target: Target, subject: Descriptor, signed: Signed, evidence: Evidence) -> str:
    """One more layer in the image with cosign's tag; the image's form is what cosign makes of it."""
    tag = fallback_tag(subject.digest, ".sig")
    there = target.find(tag)
    document = read_document(target, there) if there is not None else None
    if isinstance(document, Index):
        raise DataError(
            "module.sign.tag",
            f"{tag} is there, and is no image of signatures",
            expected="a manifest",
            found=document.media_type,
            hint="remove the tag, or sign without --cosign-tag",
        )
    layers = document.layers if document is not None else ()
    layer = target.put(signed.content, artifact.SIMPLE_TYPE)
    layer = layer.with_annotations(artifact.layer_annotations(signed, evidence))
    if layer in layers:
        return f"tag {tag}"
    if len(layers) >= MAX_FOUND:
        raise DataError(
            "module.sign.too-many",
            f"{tag} is full",
            expected=f"at most {MAX_FOUND} signatures",
            hint="remove some",
        )
    config: dict[str, Json] = {
        "architecture": "",
        "config": {},
        "created": _NO_TIME,
        "history": [{"created": _NO_TIME} for _ in range(len(layers) + 1)],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [each.digest for each in (*layers, layer)]},
    }
    manifest = Manifest(config=target.put(canonical.encode(config), IMAGE_CONFIG), layers=(*layers, layer))
    target.publish(manifest, tag=tag)
    return f"tag {tag}"


def _documents(target: Target, subject: Descriptor) -> Iterator[tuple[Descriptor, Manifest]]:
    """What is said about the subject and may be signed."""
    seen = set()
    for referrer, _ in listed(target, subject.digest):
        kind = referrer.artifact_type
        if (kind in PREDICATES or kind == intoto.PAYLOAD_TYPE) and referrer.digest not in seen:
            seen.add(referrer.digest)
            manifest = read_document(target, referrer)
            if isinstance(manifest, Manifest) and len(manifest.layers) == 1:
                yield referrer, manifest


def _predicate(target: Target, kind: str, manifest: Manifest) -> tuple[str | None, Json]:
    """The document's predicate type, None if it is an envelope that somebody has signed, and the predicate."""
    data = target.blob(manifest.layers[0], max_bytes=_MAX_ATTESTED)
    document = canonical.decode(data, what=f"the {kind}", max_bytes=_MAX_ATTESTED, max_depth=_MAX_DEPTH)
    if kind in PREDICATES:
        return PREDICATES[kind], document
    if isinstance(document, dict) and isinstance(predicate_type := document.get("predicateType"), str):
        return predicate_type, document.get("predicate")
    return None, None
