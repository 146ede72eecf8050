# SPDX-License-Identifier: MIT
"""An issuer of identity tokens, so that tests can have good ones and every kind of bad one."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from powernode.signing import keys

NOW = 1_800_000_000
GITEA = "https://git.example.org/api/actions"
CLAIMS = {
    "iss": GITEA,
    "aud": "sigstore",
    "sub": "repo:acme/redis:ref:refs/tags/v1.0.0",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 300,
    "event_name": "push",
    "job_workflow_ref": "acme/redis/.gitea/workflows/build.yaml@refs/tags/v1.0.0",
    "ref": "refs/tags/v1.0.0",
    "repository": "acme/redis",
    "repository_owner": "acme",
    "run_attempt": 1,
    "run_id": 42,
    "sha": "a" * 40,
    "workflow": "build",
}
SUBJECT = "https://git.example.org/acme/redis/.gitea/workflows/build.yaml@refs/tags/v1.0.0"
"""What a certificate for CLAIMS names."""

KINDS = {"ES256": "ecdsa-p256", "RS256": "rsa", "EdDSA": "ed25519"}


def url64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenIssuer:
    """Signs what it is told to; `jwks` is what it publishes."""

    def __init__(self, algorithm: str = "ES256", key_id: str = "1") -> None:
        self.algorithm = algorithm
        self.key_id = key_id
        self.key = keys.new_key(KINDS[algorithm])

    def token(self, claims: dict[str, Any] | None = None, *, header: dict[str, Any] | None = None) -> bytes:
        head = {"alg": self.algorithm, "kid": self.key_id, "typ": "JWT", **(header or {})}
        shown = {name: value for name, value in head.items() if value is not None}
        told = {name: value for name, value in {**CLAIMS, **(claims or {})}.items() if value is not None}
        return self.signed(json.dumps(shown).encode(), json.dumps(told).encode())

    def signed(self, header: bytes, claims: bytes) -> bytes:
        message = f"{url64(header)}.{url64(claims)}"
        signature = keys.sign(self.key, message.encode())
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            r, s = utils.decode_dss_signature(signature)
            signature = r.to_bytes(32) + s.to_bytes(32)
        return f"{message}.{url64(signature)}".encode()

    @property
    def jwk(self) -> dict[str, str]:
        public = self.key.public_key()
        common = {"kid": self.key_id, "use": "sig", "alg": self.algorithm}
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            modulus, exponent = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8), numbers.e.to_bytes(3)
            return {**common, "kty": "RSA", "n": url64(modulus), "e": url64(exponent)}
        if isinstance(public, ed25519.Ed25519PublicKey):
            return {**common, "kty": "OKP", "crv": "Ed25519", "x": url64(public.public_bytes_raw())}
        point = public.public_numbers()
        return {
            **common,
            "kty": "EC",
            "crv": "P-256",
            "x": url64(point.x.to_bytes(32)),
            "y": url64(point.y.to_bytes(32)),
        }

    @property
    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.jwk]}).encode()
