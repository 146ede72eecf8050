# SPDX-License-Identifier: MIT
"""Signatures need the C library: every test runs through both of its doors, with keys that were made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from powernode.signing import keys
from unit.native._doors import NATIVE_DOORS, through
from unit.trust._cases import ME
from unit.trust._parties import Party
from unit.trust._world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    kind: str
    private: bytes
    public: bytes


@pytest.fixture(scope="session")
def pairs() -> dict[str, KeyPair]:
    made = {kind: keys.generate(kind) for kind in keys.KINDS}
    return {kind: KeyPair(kind=kind, private=private, public=public) for kind, (private, public) in made.items()}


@pytest.fixture(scope="module", params=NATIVE_DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[str]:
    with through(request.param):
        yield request.param


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def me(world: World) -> Party:
    return world.signer(ME)
