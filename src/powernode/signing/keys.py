# SPDX-License-Identifier: MIT
"""Signing keys as PEM: PKCS #8 (encrypted or not) or cosign's own format for the secret half, SubjectPublicKeyInfo for
the public one.

Invariants: only kinds that `trust` believes; what `load` returns is one of them. A secret half is not encrypted only if
the caller said so by giving no passphrase.

Out of scope: where keys are kept and who may read the file; where passphrases come from.

    private_pem, public_pem = generate("ed25519")
    private_pem, public_pem = generate("ecdsa-p256", form="cosign", passphrase=b"…")
    key = load(private_pem, b"…")
"""

from __future__ import annotations

import hashlib
import re
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from powernode.base.errors import DataError, OperatorError
from powernode.signing import cosignkey

__all__ = [
    "FORMS",
    "KINDS",
    "PrivateKey",
    "PublicKey",
    "as_private_key",
    "as_public_key",
    "check",
    "generate",
    "key_id",
    "kind",
    "load",
    "load_public",
    "new_key",
    "private_pem",
    "public_der",
    "public_pem",
    "sign",
]

PrivateKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

KINDS = ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa")
"""What `generate` makes; RSA with 3072 bits, the size that NIST SP 800-57 puts beside P-256."""

FORMS = ("pkcs8", "cosign")

_RSA_BITS = 3072
_RSA_BITS_TAKEN = range(2048, 8193)
_PEM = serialization.Encoding.PEM
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def generate(kind: str, *, form: str = "pkcs8", passphrase: bytes | None = None) -> tuple[bytes, bytes]:
    """A new key of one of `KINDS`: its secret half in one of `FORMS`, and its public half."""
    key = new_key(kind)
    return private_pem(key, form=form, passphrase=passphrase), public_pem(key.public_key())


def new_key(kind: str) -> PrivateKey:
    match kind:
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "ecdsa-p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ecdsa-p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "rsa":
            return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    raise OperatorError("signing.key-kind", "no such kind of key", expected=", ".join(KINDS), found=repr(kind))


def private_pem(key: PrivateKey, *, form: str = "pkcs8", passphrase: bytes | None = None) -> bytes:
    """The secret half; cosign's form is always encrypted, if need be with the empty passphrase."""
    pkcs8 = serialization.PrivateFormat.PKCS8
    if form == "cosign":
        der = key.private_bytes(serialization.Encoding.DER, pkcs8, serialization.NoEncryption())
        return cosignkey.encrypt(der, passphrase or b"")
    if form != "pkcs8":
        raise OperatorError("signing.key-form", "no such format of keys", expected=" or ".join(FORMS), found=repr(form))
    if passphrase is None:
        return key.private_bytes(_PEM, pkcs8, serialization.NoEncryption())
    if not passphrase:
        raise OperatorError("signing.passphrase", "PKCS #8 has no encryption with an empty passphrase")
    return key.private_bytes(_PEM, pkcs8, serialization.BestAvailableEncryption(passphrase))


def public_pem(key: PublicKey) -> bytes:
    return key.public_bytes(_PEM, _SPKI)


def public_der(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, _SPKI)


def load(private_pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """The key in a PEM of either form; one that no node would believe is refused before it signs.

    Without a passphrase an encrypted key is signing.key-encrypted; a passphrase for a key that has none is ignored.
    """
    is_cosigns = cosignkey.is_ours(private_pem)
    # PKCS #8 says it in its label, OpenSSL's old forms in a header.
    encrypted = not is_cosigns and b"ENCRYPTED" in private_pem
    try:
        if is_cosigns:
            if passphrase is None:
                raise _encrypted()
            key: object = serialization.load_der_private_key(cosignkey.decrypt(private_pem, passphrase), password=None)
        else:
            key = serialization.load_pem_private_key(private_pem, password=passphrase if encrypted else None)
    except TypeError as error:
        if passphrase is not None:  # the library takes an empty one for none
            raise _passphrase() from error
        raise _encrypted() from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if encrypted:  # what a wrong passphrase makes of the key may look like anything
            raise _passphrase() from error
        raise _no_key("a secret key", private_pem) from error
    return as_private_key(key)


def as_private_key(key: object) -> PrivateKey:
    """The key if it is of a kind and size that nodes believe."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size in _RSA_BITS_TAKEN:
        return key
    raise _not_believed()


def as_public_key(key: object) -> PublicKey:
    """The same for a public half."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS_TAKEN:
        return key
    raise _not_believed()


def load_public(public_pem: bytes) -> PublicKey:
    """The key in a PEM of its public half."""
    try:
        return as_public_key(serialization.load_pem_public_key(public_pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key("a public key", public_pem) from error


def kind(key: PublicKey) -> str:
    """Which of `KINDS` it is."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    return "rsa" if isinstance(key, rsa.RSAPublicKey) else f"ecdsa-p{key.curve.key_size}"


def key_id(key: PrivateKey | PublicKey) -> str:
    """The name that envelopes give the key: SHA-256 of the public half's DER, in hexadecimal."""
    public = key if isinstance(key, PublicKey) else key.public_key()
    return hashlib.sha256(public_der(public)).hexdigest()


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Ed25519; ECDSA with the curve's own SHA-2; RSA with PKCS #1 v1.5 and SHA-256.

    All are reproducible, ECDSA by RFC 6979, where libcrypto has it (3.2): signing once more adds nothing new.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    algorithm = hashes.SHA256() if key.curve.key_size == 256 else hashes.SHA384()
    try:
        return key.sign(message, ec.ECDSA(algorithm, deterministic_signing=True))
    except UnsupportedAlgorithm:
        return key.sign(message, ec.ECDSA(algorithm))


def check(key: PublicKey, message: bytes, signature: bytes) -> None:
    """Return if `sign` made the signature with the key's secret half, else cryptography's InvalidSignature.

    For what is signed to us on this side (proofs of possession, tokens); what nodes believe is `trust`'s to say.
    """
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, message, ec.ECDSA(hashes.SHA256() if key.curve.key_size == 256 else hashes.SHA384()))
    else:
        key.verify(signature, message)


def _not_believed() -> OperatorError:
    return OperatorError(
        "signing.key-kind", "nodes do not believe keys of this kind or size", expected=", ".join(KINDS)
    )


def _passphrase() -> OperatorError:
    return OperatorError("signing.passphrase", "the passphrase does not open the key, or the key is damaged")


def _no_key(wanted: str, pem: bytes) -> DataError:
    """By the label of the PEM: what the library says of it is for who uses the library."""
    label = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----", pem)
    if label is None:
        return DataError("signing.key", f"this is not {wanted}", expected="PEM", found="something else")
    found = label[1].decode()
    is_damaged = found.endswith("PRIVATE KEY" if "secret" in wanted else "PUBLIC KEY")
    return DataError("signing.key", f"this is not {wanted}", found=f"a damaged {found}" if is_damaged else f"a {found}")


def _encrypted() -> OperatorError:
    return OperatorError(
        "signing.key-encrypted", "the key is encrypted", hint="give its passphrase, or decrypt it first"
    )
