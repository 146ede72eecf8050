# SPDX-License-Identifier: MIT
"""Ask an authority that speaks Fulcio's second API for a certificate: what to send, and what its answer means.

Invariants: an answer is taken only if its certificate is for the key we asked for; whether its issuer is one to believe
is for verifiers.

Out of scope: HTTP (POST `PATH` with `request(…)`); checking the token, which is the authority's work.

    key = ec.generate_private_key(ec.SECP256R1())       # for one signature, then forgotten
    body = request(token, key)
    certificate, chain = read_answer(answer, key)
"""

from __future__ import annotations

from base64 import b64encode

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.signing import ca, keys, oidc

__all__ = ["MAX_ANSWER", "PATH", "read_answer", "request"]

PATH = "/api/v2/signingCert"
MAX_ANSWER = 256 << 10
_WHAT = "the authority's answer"
_FORMS = ("signedCertificateEmbeddedSct", "signedCertificateDetachedSct")  # exactly one of them is there


def request(token: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The token, the key, and the proof that we have it."""
    proof = ca.prove(key, oidc.challenge(token))
    return canonical.encode(
        {
            "credentials": {"oidcIdentityToken": token.strip().decode("ascii")},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": keys.public_pem(key.public_key()).decode()},
                "proofOfPossession": b64encode(proof).decode(),
            },
        }
    )


def read_answer(answer: bytes, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, tuple[bytes, ...]]:
    """The certificate and its chain up to the root (DER); codes json.* and signing.fulcio.*."""
    document = canonical.decode(answer, what=_WHAT, max_bytes=MAX_ANSWER)
    with Fields(document, code="signing.fulcio", what=_WHAT) as fields:
        form = next((name for name in _FORMS if fields.has(name)), _FORMS[0])
        with fields.fields(form) as signed:
            with signed.fields("chain") as chain:
                texts = chain.texts("certificates", most=8, longest=32 << 10)
            signed.ignore_others()
        fields.ignore_others()
    try:
        certificates = [x509.load_pem_x509_certificate(text.encode()) for text in texts]
        is_ours = bool(certificates) and certificates[0].public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:  # the second for keys on unknown curves
        raise DataError("signing.fulcio.certificate", "the authority sent no certificate", found=str(error)) from error
    if not is_ours:
        raise DataError(
            "signing.fulcio.other-key",
            "the authority's certificate is not for our key",
            expected=keys.key_id(key),
            found="no certificate" if not certificates else certificates[0].subject.rfc4514_string() or "another key",
        )
    leaf, *rest = (each.public_bytes(serialization.Encoding.DER) for each in certificates)
    return leaf, tuple(rest)
