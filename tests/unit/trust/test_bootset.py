# SPDX-License-Identifier: MIT
"""A set is run only if it is signed, meant for this node, and not over as far as the clock can tell."""

from __future__ import annotations

from typing import Any

import pytest

from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.signing import dsse as signing
from powernode.signing.sets import sign_set
from powernode.trust.bootset import check_terms, verify_set
from powernode.trust.keys import load_public_keys
from powernode.wire.bootset import PAYLOAD_TYPE, BootSet, ModuleRef, RootPolicy
from unit.trust.conftest import KeyPair

ME = "6d5f6f4e-0d1c-4c6a-9b9e-0123456789ab"
OTHER = "00000000-0d1c-4c6a-9b9e-0123456789ab"
BUILT, END = 1_700_000_000, 1_800_000_000
DIGEST = Digest("sha256", bytes(range(32)))


def boot_set(**changes: Any) -> BootSet:
    members: dict[str, Any] = {
        "serial": 3,
        "instance": ME,
        "not_after": END,
        "root_digest": DIGEST,
        "root_policy": RootPolicy.EPHEMERAL,
        "modules": (ModuleRef(name="system-base", version="1", digest=DIGEST),),
    }
    return BootSet(**{**members, **changes})


@pytest.mark.usefixtures("door")
class TestSigned:
    def test_right(self, pairs: dict[str, KeyPair]) -> None:
        for pair in pairs.values():
            envelope = sign_set(boot_set(), pair.private)
            keys = load_public_keys(pair.public)
            assert verify_set(envelope, keys, instance=ME, now=END, not_before=BUILT) == boot_set()

    @pytest.mark.parametrize(
        ("payload", "payload_type", "code"),
        [
            (b"{}", PAYLOAD_TYPE, "wire.set.missing"),
            (b"no json", PAYLOAD_TYPE, "json.syntax"),
            (b"{}", "text/plain", "trust.dsse.payload-type"),
        ],
    )
    def test_signed_nonsense(self, pairs: dict[str, KeyPair], payload: bytes, payload_type: str, code: str) -> None:
        envelope = signing.sign(payload, payload_type, pairs["ed25519"].private)
        with pytest.raises(DataError) as refusal:
            verify_set(envelope, load_public_keys(pairs["ed25519"].public), instance=ME, now=BUILT)
        assert refusal.value.code == code

    def test_terms_are_checked(self, pairs: dict[str, KeyPair]) -> None:
        envelope = sign_set(boot_set(), pairs["ed25519"].private)
        keys = load_public_keys(pairs["ed25519"].public)
        for instance, now, code in ((OTHER, BUILT, "trust.set.other-instance"), (ME, END + 1, "trust.set.expired")):
            with pytest.raises(DataError) as refusal:
                verify_set(envelope, keys, instance=instance, now=now, not_before=BUILT)
            assert refusal.value.code == code

    def test_the_signature_comes_first(self, pairs: dict[str, KeyPair]) -> None:
        """Nothing is said about the content of what nobody signed."""
        envelope = sign_set(boot_set(), pairs["ed25519"].private)
        with pytest.raises(DataError) as refusal:
            verify_set(envelope, load_public_keys(pairs["rsa"].public), instance=OTHER, now=END + 1)
        assert refusal.value.code == "trust.dsse.signature"


def refused(**arguments: Any) -> str | None:
    """The code of the refusal of `check_terms`."""
    terms = {"instance": arguments.pop("instance_of_set", ME), "not_after": arguments.pop("not_after", END)}
    try:
        check_terms(boot_set(**terms), **{"instance": ME, "now": BUILT + 1, "not_before": BUILT, **arguments})
    except DataError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("for me", {}, None),
        ("for everybody", {"instance_of_set": "*"}, None),
        ("for somebody else", {"instance_of_set": OTHER}, "trust.set.other-instance"),
        ("for me, but who am I", {"instance": None}, "trust.set.other-instance"),
        ("for everybody, and I am nobody", {"instance": None, "instance_of_set": "*"}, None),
        ("a node that calls itself everybody", {"instance": "*"}, "trust.set.other-instance"),
        ("the last second", {"now": END}, None),
        ("a second later", {"now": END + 1}, "trust.set.expired"),
        ("no end", {"now": END + 1, "not_after": None}, None),
        ("no clock", {"now": None, "not_after": BUILT}, None),
        ("no clock, and over before the last write", {"now": None, "not_after": BUILT - 1}, "trust.set.expired"),
        ("clock in 1970", {"now": 5}, None),
        ("clock in 1970, and over before the last write", {"now": 5, "not_after": BUILT - 1}, "trust.set.expired"),
        ("nothing known but a clock in 1970", {"now": 5, "not_before": 0}, None),
        ("nothing known at all", {"now": None, "not_before": 0, "not_after": 1}, None),
        ("a disk that claims to be from the future", {"now": END + 1, "not_before": 2 * END}, "trust.set.expired"),
    ],
)
def test_terms(name: str, arguments: dict[str, Any], code: str | None) -> None:
    assert refused(**dict(arguments)) == code, name
