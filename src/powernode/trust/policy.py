# SPDX-License-Identifier: MIT
"""What is handed to the verifier of artifacts, and what it hands back.

Invariants: nothing of a `Found` is believed: it holds bytes and texts just as a registry gave them, and decoding them
is the verifier's business, so that whatever is wrong with them is a reason of its own. A `Proof` is made by
`trust.artifact` only, after everything in it was checked.

Out of scope: where signatures are looked for (`module.signatures`), and checking them (`artifact`).

    found = Found.in_layer(media_type, where="tag sha256-….sig, layer 0", payload=blob, annotations=layer_annotations)
    policy = Policy(identities=(Identity(subject=exact("me@example.org"), issuer=exact("https://id.example.org")),),
                    roots=(root,))
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from powernode.trust.keys import PublicKey
    from powernode.trust.pattern import Pattern
    from powernode.trust.root import TrustRoot

__all__ = ["Found", "Identity", "Kind", "Policy", "Proof", "Statement", "TimeSource"]


class Kind(Enum):
    """How a signature is packed; by the media type of the layer it is in."""

    SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
    DSSE = "application/vnd.dsse.envelope.v1+json"
    BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle"  # of every version: ".v0.3+json", "+json;version=0.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One signature, or what calls itself one.

    `payload` is the layer's blob: the simple signing document, the envelope, or the whole sigstore bundle. The texts
    are the layer's annotations, untouched, and empty where there is none; a bundle brings everything itself.
    """

    kind: Kind
    where: str
    """For people: in which of the places it was found."""

    payload: bytes
    signature: str = ""
    """Base64, over `payload`; an envelope has its own."""

    certificate: str = ""
    """PEM, the signer's."""

    chain: str = ""
    """PEM, of whoever certified the signer."""

    bundle: str = ""
    """JSON: Rekor's entry with its signed timestamp, in cosign's form."""

    timestamp: str = ""
    """JSON: an RFC 3161 response in cosign's form."""

    @classmethod
    def in_layer(cls, media_type: str, *, where: str, payload: bytes, annotations: Mapping[str, str]) -> Found | None:
        """What a layer with this media type holds; None if that is no kind of signature."""
        if media_type.startswith(_BUNDLE_TYPE):
            return cls(kind=Kind.BUNDLE, where=where, payload=payload)
        if media_type not in (Kind.SIMPLE.value, Kind.DSSE.value):
            return None
        return cls(
            kind=Kind(media_type),
            where=where,
            payload=payload,
            signature=annotations.get("dev.cosignproject.cosign/signature", ""),
            certificate=annotations.get("dev.sigstore.cosign/certificate", ""),
            chain=annotations.get("dev.sigstore.cosign/chain", ""),
            bundle=annotations.get("dev.sigstore.cosign/bundle", ""),
            timestamp=annotations.get("dev.sigstore.cosign/rfc3161timestamp", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who may sign: a name in the certificate, and who vouched for that name. Both match as a whole or not at all."""

    subject: Pattern
    issuer: Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whom to believe: one of `keys`, or one of `identities` certified under one of `roots`.

    What a certificate needs beyond that follows from its root: inclusion in a log if the root knows logs, a signed
    certificate timestamp if it knows certificate logs, a proven time if the certificate is over.
    """

    keys: tuple[PublicKey, ...] = ()
    identities: tuple[Identity, ...] = ()
    roots: tuple[TrustRoot, ...] = ()
    require_log: bool = False
    """Ask for inclusion in a log of signatures by `keys`, too, and by certificates under a root without logs; then some
    root must know logs, and any of them does."""

    within: int = 0
    """For a platform that takes modules in from a private CA without log or timestamp: for how many seconds after its
    end a certificate still counts as valid now. A node leaves it at 0."""


class TimeSource(Enum):
    """Who says when the signature was made."""

    LOG = "log"
    TIMESTAMP = "timestamp"
    CLOCK = "clock"
    """Nobody: the certificate is valid now, by the caller's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is certain about an artifact. Either `key_id`, or `subject`, `issuer` and `certificate` are set."""

    digest: str
    kind: Kind
    where: str
    key_id: str | None = None
    """SHA-256 of the believed key's SPKI, in hexadecimal."""

    subject: str | None = None
    issuer: str | None = None
    certificate: bytes | None = None
    """DER of the signer's certificate."""

    root: str | None = None
    """The name of the trust root."""

    signed_at: int | None = None
    """Seconds since 1970; None for keys without a proven time."""

    time_source: TimeSource | None = None
    log_index: int | None = None
    """Where the log has it, if inclusion was checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A signed in-toto statement about the artifact; `payload` is the whole statement, as it was signed."""

    proof: Proof
    predicate_type: str
    payload: bytes
