# SPDX-License-Identifier: MIT
"""A private authority and a signer certified by it; made once, as keys take time."""

from __future__ import annotations

from powernode.signing import ca, keys
from powernode.signing.artifact import Signer
from powernode.signing.oidc import Identity
from unit.signing._tokens import GITEA, NOW, SUBJECT

AUTHORITY, ROOT_KEY = ca.new("Example", now=NOW)
IDENTITY = Identity(
    issuer=GITEA,
    subject=SUBJECT,
    is_email=False,
    challenge="repo:acme/redis",
    extensions={2: "push", 14: "refs/tags/v1"},
)


def certified(now: int = NOW, identity: Identity = IDENTITY, authority: ca.Authority = AUTHORITY) -> Signer:
    """A new key with a certificate."""
    key = keys.new_key("ecdsa-p256")
    proof = ca.prove(key, identity.challenge)
    certificate = ca.issue(authority, key.public_key(), proof, identity, now=now)
    return Signer(key=key, certificate=certificate, chain=authority.chain)
