# SPDX-License-Identifier: MIT
"""The suite of the native doors runs once through each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from unit.native._doors import NATIVE_DOORS, through

if TYPE_CHECKING:
    from powernode.native import Library


@pytest.fixture(scope="module", params=NATIVE_DOORS)
def library(request: pytest.FixtureRequest) -> Iterator[Library]:
    with through(request.param) as opened:
        assert opened is not None
        yield opened
