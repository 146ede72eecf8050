# SPDX-License-Identifier: MIT
"""cosign's simple signing: a small document about a manifest, and in annotations beside it the signature and the rest.

Invariants: everything is bounded; every member of `critical` must be understood, that is what the word means there;
`optional` and the reference in `identity` are nobody's word for anything and are overlooked.

Out of scope: checking (`artifact`); making one (`signing.artifact`).

    read_payload(payload)             # the manifest's digest
    read_entry(annotation)            # Rekor's entry
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from powernode.base.errors import DataError
from powernode.trust._json import base64_of, document
from powernode.trust.rekor import MAX_BODY, Entry

if TYPE_CHECKING:
    from powernode.trust.policy import Found

__all__ = ["MAX_PAYLOAD", "TYPE", "read_entry", "read_payload", "read_signature", "read_timestamp"]

MAX_PAYLOAD = 64 << 10
TYPE = "cosign container image signature"
_MAX_TIMESTAMP = 128 << 10
_CODE = "trust.simplesigning"


def read_payload(payload: bytes) -> str:
    """The digest, "sha256:…", that the document is about; codes json.* and trust.simplesigning.*."""
    what = "the simple signing document"
    fields = document(payload, code=_CODE, what=what, max_bytes=MAX_PAYLOAD)
    with fields.fields("critical") as critical:
        kind = critical.text("type", longest=64)
        if kind != TYPE:
            raise critical.refusal("value", f"type of {critical.what}", expected=TYPE, found=kind)
        with critical.fields("identity") as identity:
            identity.text("docker-reference", "")
        with critical.fields("image") as image:
            return image.text("docker-manifest-digest", longest=256)


def read_signature(found: Found) -> bytes:
    """The signature's bytes; code trust.simplesigning.base64."""
    try:
        return binascii.a2b_base64(found.signature, strict_mode=True)
    except ValueError as error:
        raise DataError(f"{_CODE}.base64", "the signature is not base64", found=str(error)) from None


def read_entry(annotation: str) -> Entry:
    """Rekor's entry in cosign's form: the log's signed timestamp and what it is over."""
    what = "cosign's bundle"
    data = annotation.encode("utf-8", "surrogatepass")
    fields = document(data, code=_CODE, what=what, max_bytes=2 * MAX_BODY)
    promise = base64_of(fields, "SignedEntryTimestamp")
    payload = fields.fields("Payload")
    log_id = payload.text("logID", longest=64)
    try:
        if not log_id.isalnum():
            raise ValueError
        identifier = bytes.fromhex(log_id)
    except ValueError:
        raise fields.refusal("value", f"logID of {payload.what}", expected="hexadecimal", found=log_id) from None
    return Entry(
        log_id=identifier,
        index=payload.integer("logIndex", least=0),
        body=base64_of(payload, "body"),
        integrated_time=payload.integer("integratedTime", least=0),
        promise=promise,
        inclusion=None,
    )


def read_timestamp(annotation: str) -> bytes:
    """The RFC 3161 response in cosign's form."""
    what = "cosign's timestamp"
    data = annotation.encode("utf-8", "surrogatepass")
    fields = document(data, code=_CODE, what=what, max_bytes=_MAX_TIMESTAMP)
    return base64_of(fields, "SignedRFC3161Timestamp")
