# SPDX-License-Identifier: MIT
"""One signature by one key, checked by libcrypto through the C library.

Invariants: `check_signature` returns only if the signature is right; there is no plain Python twin and no way to go on
without libcrypto: a machine that lacks it is a MachineError, never a signature that passes.

Out of scope: which keys to believe (`keys`), what was signed (`dsse`).

    check_signature(Algorithm.ED25519, spki, message, signature)
"""

from __future__ import annotations

import errno
import os
import struct
from enum import Enum

from powernode import native
from powernode.base.errors import DataError, MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.native import Library

__all__ = ["Algorithm", "KeyKind", "check_signature", "examine_key"]


class KeyKind(Enum):
    """The kinds of key we take, by their numbers in the C interface."""

    ED25519 = 1
    ECDSA_P256 = 2
    ECDSA_P384 = 3
    RSA = 4


class Algorithm(Enum):
    """How to sign with which hash, by the numbers of the C interface."""

    ED25519 = 1
    ECDSA_P256_SHA256 = 2
    ECDSA_P384_SHA384 = 3
    RSA_PKCS1_SHA256 = 4
    RSA_PSS_SHA256 = 5
    ECDSA_P384_SHA256 = 6
    RSA_PKCS1_SHA384 = 7
    RSA_PKCS1_SHA512 = 8
    ECDSA_P256_SHA384 = 9


def examine_key(spki: bytes) -> tuple[KeyKind, int]:
    """The kind of the key and its size in bits; a key that is malformed, weak or of another kind is a DataError."""
    answer = bytearray(8)
    result = _library().call("pn_public_key", spki or b"\0", len(spki), answer)
    if result == -errno.EINVAL:
        raise DataError(
            "trust.key",
            "this is no public key that we use",
            expected="Ed25519, ECDSA P-256 or P-384 (uncompressed point), RSA of 2048 to 8192 bits, as DER SPKI",
        )
    _check_machine(result)
    kind, bits = struct.unpack("II", answer)
    return KeyKind(kind), bits


def check_signature(algorithm: Algorithm, spki: bytes, message: bytes, signature: bytes) -> None:
    """Return if `signature` is the key's for `message`; a DataError with code `trust.signature` if it is not."""
    result = _library().call(
        "pn_signature_verify",
        *(
            algorithm.value,
            spki or b"\0",
            len(spki),
            message or b"\0",
            len(message),
            signature or b"\0",
            len(signature),
        ),
    )
    if result == -errno.EBADMSG:
        raise DataError("trust.signature", "the signature does not belong to this message and key")
    if result == -errno.EINVAL:
        raise DataError("trust.key", f"this is no key for {algorithm.name}")
    _check_machine(result)


def _library() -> Library:
    library = native.library()
    if library is None:
        raise MachineError(
            "trust.no-native",
            "signatures can only be checked with the C library",
            found=native.reason(),
            hint="build it with `pip install .`, and do not set POWERNODE_NATIVE=off",
        )
    return library


def _check_machine(result: int) -> None:
    if result == -errno.ENOSYS:
        raise MachineError(
            "trust.no-libcrypto",
            "signatures cannot be checked on this machine",
            expected="libcrypto.so.3 (OpenSSL 3) with this algorithm",
            hint="Debian: libssl3, libssl3t64",
        )
    if result:
        raise MachineError("trust.failed", "libcrypto could not check the signature", found=os.strerror(-result))
