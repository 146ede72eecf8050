# SPDX-License-Identifier: MIT
"""The encrypted private keys of cosign: PEM round a JSON object with scrypt, XSalsa20-Poly1305 and PKCS #8 inside.

Invariants: `encrypt` writes what cosign writes today (N=65536); `decrypt` takes both names the PEM block ever had and
the three costs the format ever used, nothing else: a file cannot make us spend more memory than 128 MiB. A wrong
passphrase and a changed byte are the same refusal, as the cipher cannot tell them apart.

Out of scope: what kind of key is inside (`keys`); where the passphrase comes from.

    pem = encrypt(pkcs8_der, b"passphrase")
    pkcs8_der = decrypt(pem, b"passphrase")
"""

from __future__ import annotations

import binascii
import hashlib
import os
from dataclasses import dataclass

import nacl.exceptions
import nacl.secret

from powernode.base import canonical
from powernode.base.errors import DataError, OperatorError
from powernode.base.fields import Fields
from powernode.signing.encoding import from_base64

__all__ = ["MAX_BYTES", "decrypt", "encrypt", "is_ours"]

MAX_BYTES = 64 << 10
"""No key is longer: RSA with 8192 bits is 5 KiB of DER."""

_LABEL = b"ENCRYPTED SIGSTORE PRIVATE KEY"
_LABELS = (_LABEL, b"ENCRYPTED COSIGN PRIVATE KEY")  # the second until cosign 1.13
_COST = 1 << 16
_COSTS = (1 << 15, _COST, 1 << 17)  # before 2023, since then, and what OWASP asks for
_BLOCK, _LANES = 8, 1
_KEY, _SALT, _NONCE = 32, 32, 24
_LINE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    cost: int
    salt: bytes
    nonce: bytes
    ciphertext: bytes


def is_ours(pem: bytes) -> bool:
    """Whether the PEM begins as one of these; says nothing of the rest."""
    return any(pem.lstrip().startswith(b"-----BEGIN " + label + b"-----") for label in _LABELS)


def encrypt(pkcs8: bytes, passphrase: bytes) -> bytes:
    """The PEM; an empty passphrase is allowed, as in cosign."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    ciphertext = nacl.secret.SecretBox(_derived(passphrase, salt, _COST)).encrypt(pkcs8, nonce).ciphertext
    body = canonical.encode(
        {
            "kdf": {"name": "scrypt", "params": {"N": _COST, "r": _BLOCK, "p": _LANES}, "salt": _text(salt)},
            "cipher": {"name": "nacl/secretbox", "nonce": _text(nonce)},
            "ciphertext": _text(ciphertext),
        }
    )
    text = binascii.b2a_base64(body, newline=False)
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (_LABEL, b"\n".join(lines), _LABEL)


def decrypt(pem: bytes, passphrase: bytes) -> bytes:
    """The PKCS #8 inside; signing.cosign-key for a broken file, signing.passphrase for a wrong passphrase."""
    box = _read(_body(pem))
    try:
        secret = nacl.secret.SecretBox(_derived(passphrase, box.salt, box.cost))
        return bytes(secret.decrypt(box.ciphertext, box.nonce))
    except nacl.exceptions.CryptoError:
        raise OperatorError(
            "signing.passphrase", "the passphrase does not open the key, or the key is damaged"
        ) from None


def _body(pem: bytes) -> bytes:
    if len(pem) > MAX_BYTES:
        raise _refusal("the key file is too long", expected=f"at most {MAX_BYTES} bytes", found=f"{len(pem)}")
    lines = pem.strip().splitlines() or [b""]
    for label in _LABELS:
        if lines[0] == b"-----BEGIN " + label + b"-----" and lines[-1] == b"-----END " + label + b"-----":
            try:
                return binascii.a2b_base64(b"".join(line.strip() for line in lines[1:-1]), strict_mode=True)
            except ValueError as error:
                raise _refusal("the key file is not base64", found=str(error)) from None
    raise _refusal("this is no encrypted key of cosign", expected=f"one PEM block, {_LABEL.decode()}")


def _read(body: bytes) -> _Box:
    what = "the key"
    with Fields(canonical.decode(body, what=what, max_bytes=MAX_BYTES), code="signing.cosign-key", what=what) as fields:
        with fields.fields("kdf") as kdf:
            _expect(kdf, "name", "scrypt")
            with kdf.fields("params") as params:
                cost = params.integer("N", least=1)
                lanes = (params.integer("r", least=1), params.integer("p", least=1))
            salt = _bytes(kdf, "salt", range(16, 65))
        with fields.fields("cipher") as cipher:
            _expect(cipher, "name", "nacl/secretbox")
            nonce = _bytes(cipher, "nonce", range(_NONCE, _NONCE + 1))
        ciphertext = _bytes(fields, "ciphertext", range(17, MAX_BYTES))
    if cost not in _COSTS or lanes != (_BLOCK, _LANES):
        raise _refusal(
            "the key asks for a cost that cosign never used",
            expected=f"N of {', '.join(map(str, _COSTS))}, r={_BLOCK}, p={_LANES}",
            found=f"N={cost}, r={lanes[0]}, p={lanes[1]}",
        )
    return _Box(cost=cost, salt=salt, nonce=nonce, ciphertext=ciphertext)


def _derived(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    needed = 128 * _BLOCK * (cost + _LANES + 2)
    return hashlib.scrypt(passphrase, salt=salt, n=cost, r=_BLOCK, p=_LANES, maxmem=needed, dklen=_KEY)


def _expect(fields: Fields, name: str, wanted: str) -> None:
    found = fields.text(name)
    if found != wanted:
        raise _refusal(f"{name} of {fields.what} is not known", expected=wanted, found=repr(found[:60]))


def _bytes(fields: Fields, name: str, sizes: range) -> bytes:
    value = from_base64(fields, name, code="signing.cosign-key")
    if len(value) not in sizes:
        expected = f"{sizes.start}" if len(sizes) == 1 else f"{sizes.start} to {sizes.stop - 1}"
        raise _refusal(f"{name} of {fields.what} has a wrong size", expected=f"{expected} bytes", found=f"{len(value)}")
    return value


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _refusal(message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError("signing.cosign-key", message, expected=expected, found=found)
