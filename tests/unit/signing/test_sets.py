# SPDX-License-Identifier: MIT
"""What is signed is checked before, and `cryptography` itself agrees with the signature."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.signing import dsse, keys
from powernode.signing.sets import sign_set
from powernode.wire import bootset
from powernode.wire import dsse as wire
from powernode.wire.bootset import BootSet, RootPolicy


def boot_set(serial: int) -> BootSet:
    digest = Digest("sha256", bytes(32))
    return BootSet(
        serial=serial, instance="*", not_after=None, root_digest=digest, root_policy=RootPolicy.RO, modules=()
    )


@pytest.mark.parametrize("kind", keys.KINDS)
def test_the_signature_is_over_type_and_payload(kind: str) -> None:
    private, public_pem = keys.generate(kind)
    envelope = wire.parse(sign_set(boot_set(1), private), max_bytes=1 << 16)
    assert (envelope.payload_type, envelope.payload) == (bootset.PAYLOAD_TYPE, bootset.encode(boot_set(1)))
    (signature,) = envelope.signatures
    assert signature.key_id == keys.key_id(keys.load(private))
    message = wire.pre_authentication(envelope.payload_type, envelope.payload)
    public = serialization.load_pem_public_key(public_pem)
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature.value, message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        hash_of_curve = hashes.SHA256() if kind == "ecdsa-p256" else hashes.SHA384()
        public.verify(signature.value, message, ec.ECDSA(hash_of_curve))
    else:
        assert isinstance(public, ed25519.Ed25519PublicKey)
        public.verify(signature.value, message)


def test_ed25519_and_rsa_sign_the_same_twice() -> None:
    for kind in ("ed25519", "rsa"):
        private, _ = keys.generate(kind)
        assert sign_set(boot_set(1), private) == sign_set(boot_set(1), private)
        assert dsse.sign(b"", "", private) != dsse.sign(b" ", "", private)


def test_a_set_no_node_could_read_is_not_signed() -> None:
    private, _ = keys.generate("ed25519")
    with pytest.raises(DataError) as refusal:
        sign_set(boot_set(-1), private)
    assert refusal.value.code == "wire.set.value"
