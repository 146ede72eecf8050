# SPDX-License-Identifier: MIT
"""A JSON Web Key Set: the public keys of whoever issues identity tokens, and one signature by one of them.

Invariants: the algorithm belongs to the key and never to the token: RSA signs RS256, P-256 ES256, Ed25519 EdDSA, and
there is no other; keys for encryption, secret keys and kinds we do not use are not in the set that is returned.

Out of scope: where the set comes from and how long it is good for; what the token says (`oidc`).

    keys = parse(data)
    check(keys, key_id="1", algorithm="ES256", message=b"…", signature=b"…")
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.signing import keys as signing_keys
from powernode.signing.encoding import from_base64url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_BYTES", "Key", "check", "parse"]

MAX_BYTES = 256 << 10
_MAX_KEYS = 64
_MAX_MEMBER = 16 << 10
_WHAT = "the key set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    key_id: str | None
    algorithm: str
    public: signing_keys.PublicKey


def parse(data: bytes) -> tuple[Key, ...]:
    """The keys that may sign tokens; codes json.* and signing.jwks.*."""
    document = canonical.decode(data, what=_WHAT, max_bytes=MAX_BYTES)
    fields = Fields(document, code="signing.jwks", what=_WHAT)
    found = []
    for item in fields.each("keys", most=_MAX_KEYS):
        key = _key(item)
        item.ignore_others()
        if key is not None:
            found.append(key)
    if not found:
        raise fields.refusal("empty", f"{_WHAT} has no key that may sign", expected="RSA, P-256 or Ed25519")
    return tuple(found)


def check(keys: Sequence[Key], *, key_id: str | None, algorithm: str, message: bytes, signature: bytes) -> None:
    """Return if the key that is meant made the signature; codes signing.token.{algorithm,key,signature}."""
    suitable = [key for key in keys if key.algorithm == algorithm and (key_id is None or key.key_id == key_id)]
    if algorithm not in ("RS256", "ES256", "EdDSA"):
        raise DataError(
            "signing.token.algorithm",
            "the token is signed in a way we do not take",
            expected="RS256, ES256 or EdDSA",
            found=repr(algorithm[:20]),
        )
    if len(suitable) != 1:
        raise DataError(
            "signing.token.key",
            "the issuer has no such key" if not suitable else "the token does not say which key signed it",
            expected=f"one of {', '.join(repr(key.key_id) for key in keys)}",
            found=f"{algorithm} with key id {key_id!r:.100}",
            hint="get the issuer's key set again: keys change",
        )
    try:
        if algorithm == "ES256":
            if len(signature) != 64:
                raise ValueError("ES256 is two numbers of 32 bytes")
            signature = utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        signing_keys.check(suitable[0].public, message, signature)
    except (InvalidSignature, ValueError):
        raise DataError("signing.token.signature", "the token is not signed by its issuer") from None


def _key(item: Fields) -> Key | None:
    kind = item.text("kty")
    use, algorithm = item.text("use", "sig"), item.text("alg", "")
    key_id = item.text("kid", longest=1024) if item.has("kid") else None
    if use != "sig" or item.has("d"):  # a secret half in a public document is nobody's key any more
        return None
    public: object
    try:
        match kind:
            case "RSA":
                wanted = "RS256"
                public = rsa.RSAPublicNumbers(e=_number(item, "e"), n=_number(item, "n")).public_key()
            case "EC" if item.text("crv") == "P-256":
                wanted = "ES256"
                public = ec.EllipticCurvePublicNumbers(
                    x=_number(item, "x"), y=_number(item, "y"), curve=ec.SECP256R1()
                ).public_key()
            case "OKP" if item.text("crv") == "Ed25519":
                wanted = "EdDSA"
                public = ed25519.Ed25519PublicKey.from_public_bytes(_member(item, "x"))
            case _:
                return None
    except ValueError as error:
        raise item.refusal("key", f"{item.what} is no key", found=str(error)) from error
    if algorithm not in ("", wanted):
        return None
    return Key(key_id=key_id, algorithm=wanted, public=signing_keys.as_public_key(public))


def _member(item: Fields, name: str) -> bytes:
    return from_base64url(item.text(name, longest=_MAX_MEMBER), code="signing.jwks.base64", what=f"{name} of a key")


def _number(item: Fields, name: str) -> int:
    return int.from_bytes(_member(item, name))
