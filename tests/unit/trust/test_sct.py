# SPDX-License-Identifier: MIT
"""Signed certificate timestamps: of this certificate, by this CA, at a time when the log was to be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from powernode.base.errors import DataError
from powernode.trust import sct
from powernode.trust.root import Log
from powernode.trust.x509 import read
from unit.trust._parties import LIFE, START, Party, certify, p256, sign, signer_extensions
from unit.trust._world import World, timestamp_list, tls

ME = "me@example.org"


def log(world: World) -> Log:
    return world.trust_root().certificate_logs[0]


def verdict(world: World, signer: Party, *, issuer: Party | None = None, logs: tuple[Log, ...] | None = None) -> str:
    try:
        sct.verify(read(signer.der), read((issuer or world.between).der), (log(world),) if logs is None else logs)
    except DataError as error:
        return error.code
    return ""


def with_list(world: World, make: Callable[[bytes], bytes]) -> Party:
    """A certificate with a list that `make` makes of the right timestamp."""
    key = p256()
    before = certify("", key, signer_extensions(ME), by=world.between, start=START, end=START + LIFE, serial=77)
    listed = make(world.announce(before, START * 1000))
    extensions = [*signer_extensions(ME), (timestamp_list(listed), False)]
    return certify("", key, extensions, by=world.between, start=START, end=START + LIFE, serial=77)


def test_good(world: World) -> None:
    assert verdict(world, world.signer(ME)) == ""
    assert verdict(world, with_list(world, lambda t: tls(tls(t)))) == ""
    assert verdict(world, with_list(world, lambda t: tls(tls(b"\0" * 50) + tls(t)))) == ""


def test_every_byte(world: World) -> None:
    size = len(world.announce(world.signer(ME, announced=False), START * 1000))
    for index in range(0, size, 2):

        def changed(timestamp: bytes, index: int = index) -> bytes:
            index = min(index, len(timestamp) - 1)
            return tls(tls(timestamp[:index] + bytes((timestamp[index] ^ 1,)) + timestamp[index + 1 :]))

        assert verdict(world, with_list(world, changed)) == "trust.sct", index


@pytest.mark.parametrize("size", [0, 1, 33, 46, 60])
def test_cut(world: World, size: int) -> None:
    assert verdict(world, with_list(world, lambda t: tls(tls(t[:size])))) == "trust.sct"


@pytest.mark.parametrize("listed", [b"", b"\0", b"\0\1", b"\0\0", b"\0\2\0\0", b"\0\4\0\3xx", b"\0\3\0\0\0"])
def test_lists_that_are_none(world: World, listed: bytes) -> None:
    assert verdict(world, with_list(world, lambda _: listed)) == "trust.sct"


def test_too_many(world: World) -> None:
    assert verdict(world, with_list(world, lambda t: tls(tls(bytes(50)) * 7 + tls(t)))) == ""
    assert verdict(world, with_list(world, lambda t: tls(tls(bytes(50)) * 8 + tls(t)))) == "trust.sct"


def test_of_another_certificate(world: World) -> None:
    other = world.announce(world.signer("you@example.org", announced=False), START * 1000)
    assert verdict(world, with_list(world, lambda _: tls(tls(other)))) == "trust.sct"


def test_by_another_ca(world: World) -> None:
    """The key of the CA is part of what the log signed."""
    assert verdict(world, world.signer(ME), issuer=world.root) == "trust.sct"


def test_by_another_key_under_the_name_of_the_log(world: World) -> None:
    forged = replace(log(world), key=read(certify("x", p256(), signer_extensions(ME)).der).key)
    assert verdict(world, world.signer(ME), logs=(forged,)) == "trust.sct"
    assert verdict(world, world.signer(ME), logs=(forged, log(world))) == ""
    assert verdict(world, world.signer(ME), logs=()) == "trust.sct"


def test_at_another_time(world: World) -> None:
    signer = world.signer(ME)
    for start, end, expected in (
        (START, START, ""),
        (START + 1, START + 9, "trust.sct"),
        (START - 9, START - 1, "trust.sct"),
    ):
        assert verdict(world, signer, logs=(replace(log(world), start=start, end=end),)) == expected


def test_certificate_without(world: World) -> None:
    assert verdict(world, world.signer(ME, announced=False)) == "trust.sct"


def test_with_extensions(world: World) -> None:
    """Logs of the newer kind say where the entry is; it is under their signature."""
    key = p256()
    before = certify("", key, signer_extensions(ME), by=world.between, start=START, end=START + LIFE, serial=78)
    plain = world.announce(before, START * 1000)
    more = tls(b"\0\0\5\0\0\0\0\7")
    tbs = before.certificate.tbs_certificate_bytes
    issuer = read(world.between.der)

    message = b"\0\0" + plain[33:41] + b"\0\1" + sha256(issuer.key.spki).digest() + tls(tbs, 3) + more
    signature = sign(world.certificate_log.key, message)
    for extensions, expected in ((more, ""), (tls(b""), "trust.sct")):
        timestamp = plain[:41] + extensions + b"\4\3" + tls(signature)
        wanted = [*signer_extensions(ME), (timestamp_list(tls(tls(timestamp))), False)]
        signer = certify("", key, wanted, by=world.between, start=START, end=START + LIFE, serial=78)
        assert verdict(world, signer) == expected
