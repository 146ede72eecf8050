# SPDX-License-Identifier: MIT
"""Project Wycheproof's signatures: every right one is believed, every forged one is refused. None is skipped.

They come from Debian's package of them, or from the checkout that POWERNODE_WYCHEPROOF names. What is rightly signed,
but with a hash, a padding or a key that we do not take, is in them as well and is refused whatever it is taken for.
Project Wycheproof has nothing for ECDSA P-256 with SHA-384.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from powernode.base.errors import DataError
from powernode.trust.signature import Algorithm, check_signature, examine_key
from support.vectors import WYCHEPROOF
from unit.native._doors import NATIVE_DOORS, through
from unit.trust._public import collection, from_archive

Group = dict[str, Any]

NAMES = {
    ("EddsaVerify", "edwards25519", ""): Algorithm.ED25519,
    ("EcdsaVerify", "secp256r1", "SHA-256"): Algorithm.ECDSA_P256_SHA256,
    ("EcdsaVerify", "secp384r1", "SHA-256"): Algorithm.ECDSA_P384_SHA256,
    ("EcdsaVerify", "secp384r1", "SHA-384"): Algorithm.ECDSA_P384_SHA384,
    ("RsassaPkcs1Verify", "", "SHA-256"): Algorithm.RSA_PKCS1_SHA256,
    ("RsassaPkcs1Verify", "", "SHA-384"): Algorithm.RSA_PKCS1_SHA384,
    ("RsassaPkcs1Verify", "", "SHA-512"): Algorithm.RSA_PKCS1_SHA512,
    ("RsassaPssVerify", "", "SHA-256 SHA-256 32"): Algorithm.RSA_PSS_SHA256,
}
"""By what a group of vectors says of itself: its type, the key's curve, and the hash with the padding's parameters."""

FAMILIES = {
    "ed25519_*": {"ED25519"},
    "ed448_*": set(),
    "ecdsa_secp256r1_*": {"ECDSA_P256_SHA256"},
    "ecdsa_secp384r1_*": {"ECDSA_P384_SHA256", "ECDSA_P384_SHA384"},
    "ecdsa_secp521r1_*": set(),
    "ecdsa_secp224r1_*": set(),
    "ecdsa_secp1*r[12]_*": set(),
    "ecdsa_secp*k1_*": set(),
    "ecdsa_brainpool*": set(),
    **{
        f"rsa_signature_{bits}_*": {"RSA_PKCS1_SHA256", "RSA_PKCS1_SHA384", "RSA_PKCS1_SHA512"}
        for bits in (2048, 3072, 4096, 8192)
    },
    "rsa_pss_*": {"RSA_PSS_SHA256"},
}
"""Names of files, and the algorithms they have right signatures by."""


@pytest.fixture(scope="session")
def folder() -> Path:
    if os.environ.get("POWERNODE_WYCHEPROOF"):
        return collection("POWERNODE_WYCHEPROOF", "Project Wycheproof", "testvectors_v1")
    return from_archive(WYCHEPROOF)


def named(group: Group) -> Algorithm | None:
    parameters = [group.get("sha"), group.get("mgfSha"), group.get("sLen")]
    described = " ".join(str(item) for item in parameters if item is not None)
    return NAMES.get((group["type"], group["publicKey"].get("curve", ""), described))


def believed(group: Group, test: dict[str, Any], algorithm: Algorithm) -> bool:
    key, message, signature = (bytes.fromhex(text) for text in (group["publicKeyDer"], test["msg"], test["sig"]))
    try:
        check_signature(algorithm, key, message, signature)
    except DataError as error:
        if error.code != "trust.signature":
            raise
        return False
    return True


def usable(group: Group) -> list[Algorithm]:
    """What the group's key could be used with; nothing if we do not take it."""
    try:
        kind, _ = examine_key(bytes.fromhex(group["publicKeyDer"]))
    except DataError as error:
        if error.code != "trust.key":
            raise
        return []
    return [algorithm for algorithm in Algorithm if algorithm.name.startswith(kind.name)]


def groups(folder: Path, family: str) -> Iterator[tuple[str, Group]]:
    """Each group with its file's name."""
    for file in sorted(folder.glob(f"{family}test.json")):
        document = json.loads(file.read_bytes())
        assert document["numberOfTests"] == sum(len(group["tests"]) for group in document["testGroups"]) > 0
        for group in document["testGroups"]:
            yield file.name, group


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("family", [family for family, algorithms in FAMILIES.items() if algorithms])
def test_every_vector(folder: Path, family: str) -> None:
    wrong, right = [], set()
    for file, group in groups(folder, family):
        if (algorithm := named(group)) is None:
            continue
        for test in group["tests"]:
            found = believed(group, test, algorithm)
            # "acceptable": a DigestInfo without the NULL, which we refuse
            if found != (test["result"] == "valid"):
                wrong.append((file, test["tcId"], test["comment"], test["result"], found))
            if found:
                right.add(algorithm.name)
    assert not wrong
    assert right == FAMILIES[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_right_by_what_we_do_not_take(folder: Path, family: str) -> None:
    """Those that are wrong are no use here: some are right by another algorithm than their group's, such as ours."""
    wrong, count = [], 0
    with through(NATIVE_DOORS[0]):
        for file, group in groups(folder, family):
            algorithms = usable(group) if named(group) is None else []
            for test in group["tests"]:
                count += 1
                if test["result"] == "valid":
                    wrong += [(file, test["tcId"], each) for each in algorithms if believed(group, test, each)]
    assert not wrong
    assert count


def test_no_file_is_left_out(folder: Path) -> None:
    listed = {path.name for family in FAMILIES for path in folder.glob(f"{family}test.json")}
    there = {path.name for pattern in WYCHEPROOF.patterns for path in folder.glob(pattern)}
    assert there == listed
