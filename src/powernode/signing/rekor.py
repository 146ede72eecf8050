# SPDX-License-Identifier: MIT
"""Rekor, the transparency log: what to send to put a signature into it, and what its answer means.

Invariants: an answer is taken only if it is about the signature that was sent: the entry's own body says so. Whether
the log is one to believe is for verifiers (`trust`); a lying log makes a signature that nobody accepts, no more.

Out of scope: HTTP (POST `PATH` with `request(signed)`); version 2 of the log, which answers in another way.

    entry = read_entry(answer, signed)
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.signing.artifact import Inclusion, LogEntry, Signed
from powernode.signing.encoding import from_base64, from_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["MAX_ANSWER", "PATH", "read_entry", "request"]

PATH = "/api/v1/log/entries"
MAX_ANSWER = 32 << 20
"""The log repeats an attestation in its answer, in base64 twice."""

_CODE = "signing.rekor"
_ANSWER = "signing.rekor.answer"
_WHAT = "the log's answer"
_VERSION = "0.0.1"


def request(signed: Signed) -> bytes:
    """The proposed entry."""
    verifier = b64encode(signed.signer.verifier_pem).decode()
    spec: Json
    if signed.is_envelope:
        kind = "dsse"
        spec = {"proposedContent": {"envelope": signed.content.decode(), "verifiers": [verifier]}}
    else:
        kind = "hashedrekord"
        spec = {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(signed.content).hexdigest()}},
            "signature": {"content": b64encode(signed.signature).decode(), "publicKey": {"content": verifier}},
        }
    return canonical.encode({"apiVersion": _VERSION, "kind": kind, "spec": spec})


def read_entry(answer: bytes, signed: Signed) -> LogEntry:
    """The entry that the log made; codes json.* and signing.rekor.*."""
    document = canonical.decode(answer, what=_WHAT, max_bytes=MAX_ANSWER)
    if not isinstance(document, dict) or len(document) != 1:
        raise DataError(_ANSWER, f"{_WHAT} is not about one entry")
    (value,) = document.values()
    with Fields(value, code=_CODE, what=_WHAT) as fields:
        body = from_base64(fields, "body", code=_ANSWER)
        log_id = from_hex(fields.text("logID"), code=_ANSWER, what="the log's id")
        integrated_time = fields.integer("integratedTime", least=0)
        index = fields.integer("logIndex", least=0)
        with fields.fields("verification") as verification:
            promise = from_base64(verification, "signedEntryTimestamp", code=_ANSWER)
            with verification.fields("inclusionProof") as proof:
                inclusion = Inclusion(
                    index=proof.integer("logIndex", least=0),
                    tree_size=proof.integer("treeSize", least=1),
                    root_hash=from_hex(proof.text("rootHash"), code=_ANSWER, what="the root's hash"),
                    hashes=tuple(
                        from_hex(each, code=_ANSWER, what="a hash of the proof")
                        for each in proof.texts("hashes", most=64)
                    ),
                    checkpoint=proof.text("checkpoint"),
                )
                proof.ignore_others()
            verification.ignore_others()
        fields.ignore_others()
    kind, version = _require_ours(body, signed)
    return LogEntry(
        body=body,
        kind=kind,
        version=version,
        integrated_time=integrated_time,
        index=index,
        log_id=log_id,
        promise=promise,
        inclusion=inclusion,
    )


def _require_ours(body: bytes, signed: Signed) -> tuple[str, str]:
    """Kind and version of the entry, which must hold our signature."""
    what = "the log's entry"
    with Fields(canonical.decode(body, what=what, max_bytes=MAX_ANSWER), code=_CODE, what=what) as fields:
        kind, version = fields.text("kind"), fields.text("apiVersion")
        with fields.fields("spec") as spec:
            if kind == "hashedrekord":
                with spec.fields("signature") as signature:
                    found = {signature.text("content", longest=16384)}
                    signature.ignore_others()
            else:
                found = set()
                for item in spec.each("signatures", most=8):
                    found.add(item.text("signature", longest=16384))
                    item.ignore_others()
            spec.ignore_others()
        fields.ignore_others()
    wanted = "dsse" if signed.is_envelope else "hashedrekord"
    if (kind, version) != (wanted, _VERSION) or b64encode(signed.signature).decode() not in found:
        raise DataError(
            f"{_CODE}.other-entry",
            "the log answered about something else",
            expected=f"{wanted} {_VERSION} with our signature",
            found=f"{kind[:40]} {version[:40]}",
        )
    return kind, version
