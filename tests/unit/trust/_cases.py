# SPDX-License-Identifier: MIT
"""What the tests of artifacts have in common: an artifact, a policy, and the reason for which something is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from powernode.base.errors import DataError
from powernode.trust.artifact import (
    Found,
    Identity,
    Policy,
    verify,
)
from powernode.trust.keys import PublicKey, load_public_keys
from powernode.trust.pattern import exact
from unit.trust._parties import (
    ISSUER,
    START,
    YEARS,
    b64,
    spki_pem,
)
from unit.trust._world import (
    World,
)

ME = "me@example.org"
CONTENT = b'{"a":"manifest"}'
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
OTHER = f"sha256:{hashlib.sha256(b'another').hexdigest()}"
LATER = START + YEARS // 2
SBOM = "https://cyclonedx.org/bom"
Document = dict[str, Any]


def policy(world: World, subject: str = ME, issuer: str = ISSUER, **more: Any) -> Policy:
    identity = Identity(subject=exact(subject), issuer=exact(issuer))
    return Policy(**{"identities": (identity,), "roots": (world.trust_root(),), **more})


def code(found: list[Found], wanted: Policy, *, now: int = LATER, digest: str = DIGEST) -> str:
    """Why it is refused, without "trust.artifact."; "" if it is not."""
    try:
        verify(digest, found, wanted, now=now, content=CONTENT if digest == DIGEST else None)
    except DataError as error:
        return error.code.removeprefix("trust.artifact.")
    return ""


def public(key: Any) -> PublicKey:
    return load_public_keys(spki_pem(key))[0]


def entry_of(document: Document) -> Document:
    found: Document = document["verificationMaterial"]["tlogEntries"][0]
    return found


def stamped(document: Document, make: Callable[[bytes], bytes]) -> Document:
    import base64

    signature = base64.b64decode(document["messageSignature"]["signature"])
    stamps = {"rfc3161Timestamps": [{"signedTimestamp": b64(make(signature))}]}
    return {
        **document,
        "verificationMaterial": {**document["verificationMaterial"], "timestampVerificationData": stamps},
    }
