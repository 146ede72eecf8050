# SPDX-License-Identifier: MIT
"""Signatures and sealing under AddressSanitizer, UBSan and ThreadSanitizer; the C drivers hold the checks.

Out of scope: which signatures are right (tests/unit/trust), and a kernel that really seals (tests/vm).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from native.test_sanitizers import CSRC, FLAGS, NATIVE, SANITIZERS, run

MESSAGE = b"the message"


def compiled(folder: Path, sanitizer: str, driver: str, sources: list[str], wrapped: tuple[str, ...] = ()) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc")
    program = folder / driver.removesuffix(".c")
    wraps = [f"-Wl,--wrap={symbol}" for symbol in wrapped]
    files = [str(NATIVE / driver), *(str(CSRC / source) for source in sources)]
    command = [compiler, *FLAGS, *SANITIZERS[sanitizer], *files, *wraps, "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_seal(tmp_path: Path, sanitizer: str) -> None:
    program = compiled(tmp_path, sanitizer, "seal_check.c", ["linux/seal.c"], ("ioctl", "pthread_create", "calloc"))
    files = tmp_path / "files"
    files.mkdir()
    run(program, files)


def signed() -> dict[int, tuple[bytes, bytes]]:
    """Public key and signature for some algorithms, by their numbers in the C interface."""
    edwards, curve = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    big = rsa.generate_private_key(65537, 2048)

    def public(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return key.public_key().public_bytes(serialization.Encoding.DER, form)

    return {
        1: (public(edwards), edwards.sign(MESSAGE)),
        2: (public(curve), curve.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))),
        4: (public(big), big.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())),
        5: (public(big), big.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())),
    }


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_signatures(tmp_path: Path, sanitizer: str) -> None:
    program = compiled(tmp_path, sanitizer, "crypto_check.c", ["crypto/libcrypto.c", "crypto/signature.c"])
    for algorithm, (key, signature) in signed().items():
        files = []
        for name, data in (("key", key), ("message", MESSAGE), ("signature", signature)):
            files.append(tmp_path / name)
            files[-1].write_bytes(data)
        run(program, str(algorithm), *files)
