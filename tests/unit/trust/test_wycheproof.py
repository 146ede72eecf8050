# SPDX-License-Identifier: MIT
"""Project Wycheproof's signatures: every right one is believed, every forged one is refused. None is skipped."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from powernode.base.errors import DataError
from powernode.trust.signature import Algorithm, check_signature

VECTORS = Path(__file__).resolve().parents[2] / "vectors/signatures/wycheproof.json.gz"
COUNTS = {
    "ED25519": 151,
    "ECDSA_P256_SHA256": 484,
    "ECDSA_P384_SHA384": 504,
    "RSA_PKCS1_SHA256": 259,
    "RSA_PSS_SHA256": 108,
}


@cache
def groups() -> list[dict[str, Any]]:
    with gzip.open(VECTORS) as file:
        found: list[dict[str, Any]] = json.load(file)["groups"]
    return found


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("name", COUNTS)
def test_every_vector(name: str) -> None:
    wrong, count = [], 0
    for group in groups():
        if group["algorithm"] != name:
            continue
        key = bytes.fromhex(group["spki"])
        for number, comment, message, signature, result in group["tests"]:
            count += 1
            said = "valid"
            try:
                check_signature(Algorithm[name], key, bytes.fromhex(message), bytes.fromhex(signature))
            except DataError as error:
                said = error.code
            if said != ("valid" if result == "valid" else "trust.signature"):
                wrong.append((group["file"], number, comment, result, said))
    assert not wrong
    assert count == COUNTS[name]
