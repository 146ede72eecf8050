# SPDX-License-Identifier: MIT
"""One suite on every door: a test that asks for `door` runs in plain Python, through cffi and through ctypes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from unit.native._doors import DOORS, through


@pytest.fixture(scope="module", params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    with through(name):
        yield name
