# SPDX-License-Identifier: MIT
"""A boot set has one spelling, and every defect of one has its own refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base import canonical
from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.wire import bootset
from powernode.wire.bootset import BootSet, ModuleRef, RootPolicy

HEX = "0123456789abcdef" * 4
UUID = "6d5f6f4e-0d1c-4c6a-9b9e-0123456789ab"
PAYLOAD = (
    b'{"instance":"*","kind":"powernode.set","modules":[{"digest":"%b","name":"system-base","version":"1"}],'
    b'"not_after":1893456000,"root":{"digest":"%b","policy":"ro"},"serial":7,"version":1}'
    % (HEX.encode(), HEX.encode())
)
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda value: Digest("sha256", value))
MODULES = st.builds(
    ModuleRef,
    name=st.from_regex(r"[a-z0-9][a-z0-9+.-]{0,20}", fullmatch=True),
    version=st.from_regex(r"[A-Za-z0-9+.\-~:_]{1,20}", fullmatch=True),
    digest=DIGESTS,
)
SETS = st.builds(
    BootSet,
    serial=st.integers(0, (1 << 63) - 1),
    instance=st.just("*") | st.uuids().map(str),
    not_after=st.none() | st.integers(0, 1 << 40),
    root_digest=DIGESTS,
    root_policy=st.sampled_from(RootPolicy),
    modules=st.lists(MODULES, max_size=5, unique_by=lambda module: module.name).map(tuple),
)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The good payload with one thing different, spelled as it should be."""
    document = json.loads(PAYLOAD)
    change(document)
    return canonical.encode(document)


def test_the_spelling() -> None:
    digest = Digest("sha256", bytes.fromhex(HEX))
    boot_set = BootSet(
        serial=7,
        instance="*",
        not_after=1893456000,
        root_digest=digest,
        root_policy=RootPolicy.RO,
        modules=(ModuleRef(name="system-base", version="1", digest=digest),),
    )
    assert bootset.encode(boot_set) == PAYLOAD
    assert bootset.parse(PAYLOAD) == boot_set


@given(SETS)
def test_there_and_back(boot_set: BootSet) -> None:
    payload = bootset.encode(boot_set)
    assert bootset.parse(payload) == boot_set
    assert bootset.encode(bootset.parse(payload)) == payload


def test_no_end_no_modules_one_node() -> None:
    payload = changed(lambda d: d.update(not_after=None, modules=[], instance=UUID))
    boot_set = bootset.parse(payload)
    assert (boot_set.not_after, boot_set.modules, boot_set.instance) == (None, (), UUID)


def test_the_largest_set_fits() -> None:
    longest = [{"name": f"{n:0128d}", "version": "9" * 128, "digest": HEX} for n in range(bootset.MAX_MODULES)]
    payload = changed(lambda d: d.update(modules=longest, instance=UUID))
    assert len(payload) <= bootset.MAX_BYTES
    assert len(bootset.parse(payload).modules) == bootset.MAX_MODULES


def module(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["modules"][0].update(members)


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("no json", PAYLOAD[:-1], "json.syntax"),
        ("member twice", PAYLOAD[:-1] + b',"serial":8}', "json.duplicate-key"),
        ("too long", b" " * (1 << 18) + PAYLOAD, "json.size"),
        ("a list", b"[]", "wire.set.type"),
        ("white space", PAYLOAD + b"\n", "wire.set.not-canonical"),
        ("other order", json.dumps(json.loads(PAYLOAD)).encode(), "wire.set.not-canonical"),
        ("escaped letter", PAYLOAD.replace(b'"ro"', rb'"\u0072o"'), "wire.set.not-canonical"),
        ("minus zero", PAYLOAD.replace(b'"serial":7', b'"serial":-0'), "wire.set.not-canonical"),
        ("other kind", changed(lambda d: d.update(kind="powernode.image")), "wire.set.kind"),
        ("no kind", changed(lambda d: d.pop("kind")), "wire.set.missing"),
        ("newer version", changed(lambda d: d.update(version=2)), "wire.set.version"),
        ("version in words", changed(lambda d: d.update(version="1")), "wire.set.type"),
        ("unknown member", changed(lambda d: d.update(masks=[])), "wire.set.unknown-key"),
        ("unknown member of root", changed(lambda d: d["root"].update(extra=1)), "wire.set.unknown-key"),
        ("unknown member of a module", changed(module(extra=1)), "wire.set.unknown-key"),
        ("serial below zero", changed(lambda d: d.update(serial=-1)), "wire.set.value"),
        ("serial is true", changed(lambda d: d.update(serial=True)), "wire.set.type"),
        ("end before 1970", changed(lambda d: d.update(not_after=-1)), "wire.set.value"),
        ("no end mentioned", changed(lambda d: d.pop("not_after")), "wire.set.missing"),
        ("no instance", changed(lambda d: d.update(instance="")), "wire.set.instance"),
        ("upper-case uuid", changed(lambda d: d.update(instance=UUID.upper())), "wire.set.instance"),
        ("uuid without dashes", changed(lambda d: d.update(instance=UUID.replace("-", ""))), "wire.set.instance"),
        ("glob", changed(lambda d: d.update(instance="6d*")), "wire.set.instance"),
        ("unknown policy", changed(lambda d: d["root"].update(policy="rw")), "wire.set.policy"),
        ("short digest", changed(lambda d: d["root"].update(digest=HEX[:-2])), "wire.set.digest"),
        ("sha512 digest", changed(lambda d: d["root"].update(digest=HEX * 2)), "wire.set.digest"),
        ("upper-case digest", changed(lambda d: d["root"].update(digest=HEX.upper())), "wire.set.digest"),
        ("digest with prefix", changed(module(digest=f"sha256:{HEX[7:]}")), "wire.set.digest"),
        ("empty name", changed(module(name="")), "wire.set.name"),
        ("name with a slash", changed(module(name="a/b")), "wire.set.name"),
        ("name that goes up", changed(module(name="..")), "wire.set.name"),
        ("name in capitals", changed(module(name="Base")), "wire.set.name"),
        ("name with a zero", changed(module(name="a\0")), "wire.set.name"),
        ("name with a line end", changed(module(name="a\n")), "wire.set.name"),
        ("name of 129", changed(module(name="a" * 129)), "wire.set.name"),
        ("empty version", changed(module(version="")), "wire.set.module-version"),
        ("version with a space", changed(module(version="1 2")), "wire.set.module-version"),
        ("version of 129", changed(module(version="1" * 129)), "wire.set.value"),
        ("module twice", changed(lambda d: d.update(modules=d["modules"] * 2)), "wire.set.duplicate-module"),
        ("513 modules", changed(lambda d: d.update(modules=d["modules"] * 513)), "wire.set.value"),
        ("module is a string", changed(lambda d: d.update(modules=["a"])), "wire.set.type"),
    ],
)
def test_refused(name: str, payload: bytes, code: str) -> None:
    with pytest.raises(DataError) as refusal:
        bootset.parse(payload)
    assert refusal.value.code == code, name


def test_what_could_not_be_read_is_not_written() -> None:
    digest = Digest("sha256", bytes(32))
    good = {"serial": 1, "instance": "*", "not_after": None, "root_digest": digest, "root_policy": RootPolicy.RO}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"serial": -1, "modules": ()}, "wire.set.value"),
        ({"root_digest": Digest("sha512", bytes(64)), "modules": ()}, "wire.set.digest"),
        ({"modules": (ModuleRef(name="../x", version="1", digest=digest),)}, "wire.set.name"),
    ]
    for change, code in bad:
        with pytest.raises(DataError) as refusal:
            bootset.encode(BootSet(**{**good, **change}))
        assert refusal.value.code == code
