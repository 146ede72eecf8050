# SPDX-License-Identifier: MIT
"""Which algorithm a signature is made with: as X.509 and CMS name it, and as a key of a kind may be used.

Invariants: the key decides: an algorithm identifier can only choose among those that its kind of key allows, so no
signature is ever checked with an algorithm its key is not for; parameters that should not be there are refused; SHA-1
and MD5 do not exist here. RSA-PSS is taken with SHA-256, MGF1 of SHA-256 and a salt of 32 bytes, nothing else.

Out of scope: checking (`signature`).

    check_signature(algorithm_of(identifier, key.kind), key.spki, message, signature)
    is_by(key, message, signature)            # where nothing names the algorithm: simple signing, DSSE, checkpoints
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.trust.der import NULL, OBJECT, SEQUENCE, Reader, encode
from powernode.trust.keys import KeyKind, PublicKey
from powernode.trust.signature import Algorithm, check_signature

__all__ = ["HASHES", "USUAL", "algorithm_of", "hash_of", "is_by"]

USUAL = {
    KeyKind.ED25519: (Algorithm.ED25519,),
    KeyKind.ECDSA_P256: (Algorithm.ECDSA_P256_SHA256,),
    KeyKind.ECDSA_P384: (Algorithm.ECDSA_P384_SHA384, Algorithm.ECDSA_P384_SHA256),
    KeyKind.RSA: (Algorithm.RSA_PKCS1_SHA256,),
}
"""What a key of the kind signs with where nothing says so. cosign hashes with SHA-256 whatever the curve."""

HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}

_ECDSA, _RSA, _RSA_ENCRYPTION = "1.2.840.10045.4.3", "1.2.840.113549.1.1", "1.2.840.113549.1.1.1"
_NAMED = {
    (f"{_ECDSA}.2", KeyKind.ECDSA_P256): Algorithm.ECDSA_P256_SHA256,
    (f"{_ECDSA}.2", KeyKind.ECDSA_P384): Algorithm.ECDSA_P384_SHA256,
    (f"{_ECDSA}.3", KeyKind.ECDSA_P256): Algorithm.ECDSA_P256_SHA384,
    (f"{_ECDSA}.3", KeyKind.ECDSA_P384): Algorithm.ECDSA_P384_SHA384,
    ("1.3.101.112", KeyKind.ED25519): Algorithm.ED25519,
    (f"{_RSA}.11", KeyKind.RSA): Algorithm.RSA_PKCS1_SHA256,
    (f"{_RSA}.12", KeyKind.RSA): Algorithm.RSA_PKCS1_SHA384,
    (f"{_RSA}.13", KeyKind.RSA): Algorithm.RSA_PKCS1_SHA512,
    (f"{_RSA}.10", KeyKind.RSA): Algorithm.RSA_PSS_SHA256,
}
# CMS may name the key's kind where X.509 names kind and hash; then the hash stands beside it.
_BY_HASH = {
    "sha256": Algorithm.RSA_PKCS1_SHA256,
    "sha384": Algorithm.RSA_PKCS1_SHA384,
    "sha512": Algorithm.RSA_PKCS1_SHA512,
}

_SHA256 = encode(SEQUENCE, encode(OBJECT, bytes.fromhex("608648016503040201")) + encode(NULL, b""))
_SHA256_BARE = encode(SEQUENCE, encode(OBJECT, bytes.fromhex("608648016503040201")))
_MGF1 = encode(OBJECT, bytes.fromhex("2a864886f70d010108"))


def _pss(digest: bytes) -> bytes:
    """RSASSA-PSS-params (RFC 4055): hash, mask and salt; the trailer is the default."""
    salt = encode(0xA2, b"\x02\x01\x20")
    return encode(SEQUENCE, encode(0xA0, digest) + encode(0xA1, encode(SEQUENCE, _MGF1 + digest)) + salt)


_PSS = (_pss(_SHA256), _pss(_SHA256_BARE))


def algorithm_of(identifier: bytes, kind: KeyKind, *, digest: str | None = None) -> Algorithm:
    """The algorithm that an AlgorithmIdentifier names for a key of `kind`; code trust.algorithm for all others.

    `digest` is the hash that CMS names separately; it has to be the same.
    """
    reader = Reader(identifier, "the signature's algorithm")
    with reader, reader.enter(SEQUENCE) as inside:
        name = inside.object()
        parameters = b"" if inside.is_empty else inside.whole()
    if name == _RSA_ENCRYPTION and kind is KeyKind.RSA and digest in _BY_HASH:
        found: Algorithm | None = _BY_HASH[digest]
    else:
        found = _NAMED.get((name, kind))
    is_rsa = name.startswith(f"{_RSA}.")
    allowed = _PSS if found is Algorithm.RSA_PSS_SHA256 else (encode(NULL, b""), b"") if is_rsa else (b"",)
    if found is None or parameters not in allowed:
        raise DataError(
            "trust.algorithm",
            f"no algorithm we take for a key of kind {kind.name}",
            expected="ECDSA with SHA-256 or SHA-384, RSA with SHA-2, Ed25519",
            found=name,
        )
    if digest is not None and not found.name.endswith(digest.upper()) and found is not Algorithm.ED25519:
        raise DataError("trust.algorithm", "two different hashes for one signature", expected=found.name, found=digest)
    return found


def hash_of(reader: Reader) -> str:
    """The name of the hash in the AlgorithmIdentifier that comes next; its parameters may be NULL or absent."""
    with reader.enter(SEQUENCE) as inside:
        name = inside.object()
        if not inside.is_empty:
            inside.content(NULL)
    if name not in HASHES:
        raise DataError("trust.algorithm", "no hash we take", expected="SHA-256, SHA-384 or SHA-512", found=name)
    return HASHES[name]


def is_by(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's by one of the algorithms that are usual for its kind."""
    for algorithm in USUAL[key.kind]:
        try:
            check_signature(algorithm, key.spki, message, signature)
        except DataError as error:
            if error.code != "trust.signature":
                raise
        else:
            return True
    return False
