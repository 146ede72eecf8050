# SPDX-License-Identifier: MIT
"""The C verifier against `cryptography`: what that signs is believed, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, utils, x25519

from powernode.base.errors import DataError, MachineError
from powernode.trust.signature import Algorithm, KeyKind, check_signature, examine_key

MESSAGE = b"the message"
Signer = Callable[[bytes], bytes]
Case = tuple[bytes, Signer]


def spki(key: object) -> bytes:
    der = serialization.Encoding.DER
    public = key.public_key()  # type: ignore[attr-defined]
    result: bytes = public.public_bytes(der, serialization.PublicFormat.SubjectPublicKeyInfo)
    return result


@pytest.fixture(scope="session")
def cases() -> dict[Algorithm, Case]:
    """For each algorithm a key and how it signs."""
    edwards = ed25519.Ed25519PrivateKey.generate()
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    big = rsa.generate_private_key(65537, 2048)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return {
        Algorithm.ED25519: (spki(edwards), edwards.sign),
        Algorithm.ECDSA_P256_SHA256: (spki(p256), lambda m: p256.sign(m, ec.ECDSA(hashes.SHA256()))),
        Algorithm.ECDSA_P384_SHA384: (spki(p384), lambda m: p384.sign(m, ec.ECDSA(hashes.SHA384()))),
        Algorithm.RSA_PKCS1_SHA256: (spki(big), lambda m: big.sign(m, padding.PKCS1v15(), hashes.SHA256())),
        Algorithm.RSA_PSS_SHA256: (spki(big), lambda m: big.sign(m, pss, hashes.SHA256())),
        Algorithm.ECDSA_P384_SHA256: (spki(p384), lambda m: p384.sign(m, ec.ECDSA(hashes.SHA256()))),
        Algorithm.ECDSA_P256_SHA384: (spki(p256), lambda m: p256.sign(m, ec.ECDSA(hashes.SHA384()))),
        Algorithm.RSA_PKCS1_SHA384: (spki(big), lambda m: big.sign(m, padding.PKCS1v15(), hashes.SHA384())),
        Algorithm.RSA_PKCS1_SHA512: (spki(big), lambda m: big.sign(m, padding.PKCS1v15(), hashes.SHA512())),
    }


def verdict(algorithm: Algorithm, key: bytes, message: bytes, signature: bytes) -> str:
    try:
        check_signature(algorithm, key, message, signature)
    except DataError as error:
        return error.code
    return "right"


@pytest.fixture(params=list(Algorithm), ids=lambda algorithm: algorithm.name)
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    result: Algorithm = request.param
    return result


@pytest.mark.usefixtures("door")
class TestSignatures:
    @pytest.mark.parametrize("message", [b"", b"x", MESSAGE, bytes(1 << 20)], ids=len)
    def test_right(self, cases: dict[Algorithm, Case], algorithm: Algorithm, message: bytes) -> None:
        key, sign = cases[algorithm]
        check_signature(algorithm, key, message, sign(message))

    def test_another_message(self, cases: dict[Algorithm, Case], algorithm: Algorithm) -> None:
        key, sign = cases[algorithm]
        signature = sign(MESSAGE)
        for message in (b"", MESSAGE[:-1], MESSAGE + b"\0", b"The message"):
            assert verdict(algorithm, key, message, signature) == "trust.signature"

    def test_every_changed_byte_of_the_signature(self, cases: dict[Algorithm, Case], algorithm: Algorithm) -> None:
        key, sign = cases[algorithm]
        signature = sign(MESSAGE)
        for index in range(len(signature)):
            changed = bytearray(signature)
            changed[index] ^= 1 << index % 8
            assert verdict(algorithm, key, MESSAGE, bytes(changed)) == "trust.signature", index

    def test_signature_of_another_length(self, cases: dict[Algorithm, Case], algorithm: Algorithm) -> None:
        key, sign = cases[algorithm]
        signature = sign(MESSAGE)
        lengths = {signature[:size] for size in range(0, len(signature), 7)}
        for other in (*lengths, signature + b"\0", b"\0" + signature, signature * 2, signature + bytes(5000)):
            assert verdict(algorithm, key, MESSAGE, other) == "trust.signature", len(other)

    def test_every_changed_byte_of_the_key(self, cases: dict[Algorithm, Case], algorithm: Algorithm) -> None:
        """A changed key is refused as a key or, if it is still one, is the key of somebody else."""
        key, sign = cases[algorithm]
        signature = sign(MESSAGE)
        seen = set()
        for index in range(len(key)):
            changed = bytearray(key)
            changed[index] ^= 1 << index % 8
            seen.add(verdict(algorithm, bytes(changed), MESSAGE, signature))
        assert "right" not in seen
        assert "trust.key" in seen

    def test_every_truncation_of_the_key(self, cases: dict[Algorithm, Case], algorithm: Algorithm) -> None:
        key, sign = cases[algorithm]
        signature = sign(MESSAGE)
        for size in range(len(key)):
            assert verdict(algorithm, key[:size], MESSAGE, signature) == "trust.key", size
        assert verdict(algorithm, key + b"\0", MESSAGE, signature) == "trust.key"
        assert verdict(algorithm, key + bytes(5000), MESSAGE, signature) == "trust.key"

    def test_key_of_another_kind(self, cases: dict[Algorithm, Case], algorithm: Algorithm) -> None:
        _, sign = cases[algorithm]
        signature = sign(MESSAGE)
        own = cases[algorithm][0]
        for other, (key, _) in cases.items():
            expected = "right" if other is algorithm else "trust.signature" if key == own else "trust.key"
            if key != own or other is algorithm:
                assert verdict(algorithm, key, MESSAGE, signature) == expected

    def test_key_of_somebody_else(self, cases: dict[Algorithm, Case]) -> None:
        key, _ = cases[Algorithm.ED25519]
        other = ed25519.Ed25519PrivateKey.generate()
        assert verdict(Algorithm.ED25519, key, MESSAGE, other.sign(MESSAGE)) == "trust.signature"

    def test_paddings_and_hashes_are_not_exchangeable(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        mgf = padding.MGF1(hashes.SHA256())
        wrong = {
            Algorithm.RSA_PKCS1_SHA256: [
                key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA1()),
                key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA512()),
                key.sign(MESSAGE, padding.PSS(mgf, 32), hashes.SHA256()),
            ],
            Algorithm.RSA_PSS_SHA256: [
                key.sign(MESSAGE, padding.PSS(mgf, 0), hashes.SHA256()),
                key.sign(MESSAGE, padding.PSS(mgf, 64), hashes.SHA256()),
                key.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA1()), 32), hashes.SHA256()),
                key.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA512()), 32), hashes.SHA512()),
                key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256()),
            ],
        }
        for algorithm, signatures in wrong.items():
            for signature in signatures:
                assert verdict(algorithm, spki(key), MESSAGE, signature) == "trust.signature"
        curve = ec.generate_private_key(ec.SECP384R1())
        other = curve.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
        assert verdict(Algorithm.ECDSA_P384_SHA384, spki(curve), MESSAGE, other) == "trust.signature"
        other = curve.sign(MESSAGE, ec.ECDSA(hashes.SHA384()))
        assert verdict(Algorithm.ECDSA_P384_SHA256, spki(curve), MESSAGE, other) == "trust.signature"

    def test_ecdsa_numbers_out_of_range(self) -> None:
        """Zero, the group's order, and negative numbers: the classic forgeries."""
        key = ec.generate_private_key(ec.SECP256R1())
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        r, s = utils.decode_dss_signature(key.sign(MESSAGE, ec.ECDSA(hashes.SHA256())))
        assert verdict(Algorithm.ECDSA_P256_SHA256, spki(key), MESSAGE, utils.encode_dss_signature(r, s)) == "right"
        for pair in ((0, 0), (0, s), (r, 0), (order, s), (r, order), (r + order, s), (r, s + order), (1, 1)):
            forged = utils.encode_dss_signature(*pair)
            assert verdict(Algorithm.ECDSA_P256_SHA256, spki(key), MESSAGE, forged) == "trust.signature", pair

    def test_from_several_threads(self, cases: dict[Algorithm, Case]) -> None:
        failures: list[BaseException] = []

        def work() -> None:
            try:
                for algorithm, (key, sign) in cases.items():
                    signature = sign(MESSAGE)
                    for _ in range(20):
                        check_signature(algorithm, key, MESSAGE, signature)
                        assert verdict(algorithm, key, b"other", signature) == "trust.signature"
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures


@pytest.mark.usefixtures("door")
class TestKeys:
    def test_kinds_and_sizes(self, cases: dict[Algorithm, Case]) -> None:
        found = {algorithm: examine_key(key) for algorithm, (key, _) in cases.items()}
        assert found == {
            Algorithm.ED25519: (KeyKind.ED25519, 256),
            Algorithm.ECDSA_P256_SHA256: (KeyKind.ECDSA_P256, 256),
            Algorithm.ECDSA_P384_SHA384: (KeyKind.ECDSA_P384, 384),
            Algorithm.RSA_PKCS1_SHA256: (KeyKind.RSA, 2048),
            Algorithm.RSA_PSS_SHA256: (KeyKind.RSA, 2048),
            Algorithm.ECDSA_P384_SHA256: (KeyKind.ECDSA_P384, 384),
            Algorithm.ECDSA_P256_SHA384: (KeyKind.ECDSA_P256, 256),
            Algorithm.RSA_PKCS1_SHA384: (KeyKind.RSA, 2048),
            Algorithm.RSA_PKCS1_SHA512: (KeyKind.RSA, 2048),
        }

    @pytest.mark.parametrize(
        ("name", "make"),
        [
            ("nothing", lambda: b""),
            ("a zero", lambda: b"\0"),
            ("P-521", lambda: spki(ec.generate_private_key(ec.SECP521R1()))),
            ("secp256k1", lambda: spki(ec.generate_private_key(ec.SECP256K1()))),
            ("Ed448", lambda: spki(ed448.Ed448PrivateKey.generate())),
            ("X25519", lambda: spki(x25519.X25519PrivateKey.generate())),
            ("RSA of 1024 bits", lambda: spki(small_rsa(1024))),
            ("RSA of 2047 bits", lambda: rsa_spki((1 << 2046) + 1, 65537)),
            ("RSA of 8193 bits", lambda: rsa_spki((1 << 8192) + 1, 65537)),
            ("RSA of 16384 bits", lambda: rsa_spki((1 << 16383) + 1, 65537)),
            ("RSA exponent 1", lambda: rsa_spki((1 << 2047) + 1, 1)),
            ("RSA exponent 2", lambda: rsa_spki((1 << 2047) + 1, 65536)),
            ("RSA exponent of 65 bits", lambda: rsa_spki((1 << 2047) + 1, (1 << 64) + 1)),
            ("RSA-PSS key", lambda: rsa_spki((1 << 2047) + 1, 65537, oid="2a864886f70d01010a")),
            ("DSA", lambda: spki(dsa.generate_private_key(1024))),
            ("compressed point", lambda: compressed(ec.generate_private_key(ec.SECP256R1()))),
            ("point that is not on the curve", lambda: off_the_curve()),
            ("explicit curve parameters", lambda: explicit_p256()),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_refused(self, name: str, make: Callable[[], bytes]) -> None:
        with pytest.raises(DataError) as refusal:
            examine_key(make())
        assert refusal.value.code == "trust.key", name

    @pytest.mark.parametrize(("bits", "exponent"), [(2048, 3), (3072, 65537), (4096, 65537), (8192, (1 << 64) - 1)])
    def test_rsa_at_the_limits(self, bits: int, exponent: int) -> None:
        assert examine_key(rsa_spki((1 << (bits - 1)) + 1, exponent)) == (KeyKind.RSA, bits)


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def der_integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def rsa_spki(modulus: int, exponent: int, oid: str = "2a864886f70d010101") -> bytes:
    """Also keys that nobody could make: nothing is computed with them."""
    algorithm = der(0x30, der(0x06, bytes.fromhex(oid)), b"\x05\0" if oid.endswith("0101") else b"")
    key = der(0x30, der_integer(modulus), der_integer(exponent))
    return der(0x30, algorithm, der(0x03, b"\0", key))


def small_rsa(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def compressed(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    point = bytes((2 + numbers.y % 2,)) + numbers.x.to_bytes(32, "big")
    names = der(0x30, der(0x06, bytes.fromhex("2a8648ce3d0201")), der(0x06, bytes.fromhex("2a8648ce3d030107")))
    return der(0x30, names, der(0x03, b"\0", point))


def off_the_curve() -> bytes:
    key = bytearray(spki(ec.generate_private_key(ec.SECP256R1())))
    key[-1] ^= 1
    return bytes(key)


def explicit_p256() -> bytes:
    """P-256 with its parameters spelled out, as a forged generator would have to come (CVE-2020-0601)."""
    prime = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    numbers = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()  # the generator itself
    generator = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    field = der(0x30, der(0x06, bytes.fromhex("2a8648ce3d0101")), der_integer(prime))
    curve = der(0x30, der(0x04, (prime - 3).to_bytes(32, "big")), der(0x04, b.to_bytes(32, "big")))
    explicit = der(0x30, der_integer(1), field, curve, der(0x04, generator), der_integer(order), der_integer(1))
    algorithm = der(0x30, der(0x06, bytes.fromhex("2a8648ce3d0201")), explicit)
    return der(0x30, algorithm, der(0x03, b"\0", generator))


def test_without_the_c_library() -> None:
    command = "from powernode.trust.signature import examine_key\nexamine_key(b'')"
    environment = {**os.environ, "POWERNODE_NATIVE": "off"}
    environment.pop("POWERNODE_NATIVE_DOOR", None)
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert "signatures can only be checked with the C library" in done.stderr


def test_answers_of_a_machine_without_libcrypto(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def call(self, *_arguments: object) -> int:
            return -38  # ENOSYS

    monkeypatch.setattr("powernode.native.library", Library)
    for attempt in (
        lambda: examine_key(b"x"),
        lambda: check_signature(Algorithm.ED25519, b"x", b"x", b"x"),
    ):
        with pytest.raises(MachineError) as refusal:
            attempt()
        assert refusal.value.code == "trust.no-libcrypto"
