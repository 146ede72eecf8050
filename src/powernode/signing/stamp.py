# SPDX-License-Identifier: MIT
"""RFC 3161 timestamps by a key of our own: that a signature was there at a time, for the time when its certificate is
over.

Invariants: a stamp is over the signature's SHA-256, names its signer's certificate in the signed part (RFC 5035), and
holds the certificate. The time is the caller's: whoever has the key can say any time, so it is kept like the one that
issues certificates, and believed no longer than its own certificate is good for.

Out of scope: reading other people's questions; accuracy and ordering, which nobody promises here.

    Stamper(key=key, certificate=der).stamp(signature, now=now)     # DER, a whole answer
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from powernode.base.errors import OperatorError
from powernode.signing import keys
from powernode.signing.encoding import INTEGER, OBJECT, OCTET_STRING, SEQUENCE, SET, der, explicit

__all__ = ["Stamper"]

_GENERALIZED_TIME = 0x18
_SHA256 = der(SEQUENCE, der(OBJECT, bytes.fromhex("608648016503040201")), der(0x05))
_ECDSA_SHA256 = der(SEQUENCE, der(OBJECT, bytes.fromhex("2a8648ce3d040302")))
_SIGNED_DATA = der(OBJECT, bytes.fromhex("2a864886f70d010702"))
_TST_INFO = der(OBJECT, bytes.fromhex("2a864886f70d0109100104"))
_CONTENT_TYPE = der(OBJECT, bytes.fromhex("2a864886f70d010903"))
_MESSAGE_DIGEST = der(OBJECT, bytes.fromhex("2a864886f70d010904"))
_SIGNING_CERTIFICATE = der(OBJECT, bytes.fromhex("2a864886f70d010910022f"))
_POLICY = der(OBJECT, bytes.fromhex("2b0601040183bf3002"))  # 1.3.6.1.4.1.57264.2: that of sigstore's own authorities
_GRANTED = der(SEQUENCE, der(INTEGER, b"\0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamper:
    """A P-256 key and its certificate (DER), which is for timestamps alone."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes

    def stamp(self, signature: bytes, *, now: int) -> bytes:
        """The answer to a question about `signature` that had no nonce."""
        certificate = x509.load_der_x509_certificate(self.certificate)
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        if not begins <= now <= ends:
            raise OperatorError(
                "signing.ca.expired",
                "the signer of timestamps cannot sign now",
                expected=f"a time between {begins:.0f} and {ends:.0f}",
                found=f"{now}",
            )
        content = der(
            SEQUENCE,
            der(INTEGER, b"\1"),
            _POLICY,
            der(SEQUENCE, _SHA256, der(OCTET_STRING, hashlib.sha256(signature).digest())),
            der(INTEGER, _positive(secrets.randbits(63))),
            der(_GENERALIZED_TIME, f"{datetime.datetime.fromtimestamp(now, datetime.UTC):%Y%m%d%H%M%SZ}".encode()),
        )
        signed_data = der(
            SEQUENCE,
            der(INTEGER, b"\3"),
            der(SET, _SHA256),
            der(SEQUENCE, _TST_INFO, explicit(0, der(OCTET_STRING, content))),
            explicit(0, self.certificate),
            der(SET, self._signer(certificate, content)),
        )
        return der(SEQUENCE, _GRANTED, der(SEQUENCE, _SIGNED_DATA, explicit(0, signed_data)))

    def _signer(self, certificate: x509.Certificate, content: bytes) -> bytes:
        """SignerInfo (RFC 5652, 5.3); the attributes are signed as a SET, in its order, and sent under another tag."""
        named = der(SEQUENCE, der(OCTET_STRING, hashlib.sha256(self.certificate).digest()))
        attributes = sorted(
            der(SEQUENCE, name, der(SET, value))
            for name, value in (
                (_CONTENT_TYPE, _TST_INFO),
                (_MESSAGE_DIGEST, der(OCTET_STRING, hashlib.sha256(content).digest())),
                (_SIGNING_CERTIFICATE, der(SEQUENCE, der(SEQUENCE, named))),
            )
        )
        serial = der(INTEGER, _positive(certificate.serial_number))
        return der(
            SEQUENCE,
            der(INTEGER, b"\1"),
            der(SEQUENCE, certificate.issuer.public_bytes(), serial),
            _SHA256,
            explicit(0, *attributes),
            _ECDSA_SHA256,
            der(OCTET_STRING, keys.sign(self.key, der(SET, *attributes))),
        )


def _positive(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1)
