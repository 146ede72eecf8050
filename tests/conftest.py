# SPDX-License-Identifier: MIT
"""For the whole suite: says which library is under test and makes the reference tools known."""

from __future__ import annotations

import os

import pytest

from powernode import native
from support.debian import UnavailableError
from support.peers import ensure_assets, ensure_tools


def pytest_report_header() -> str:
    return f"powernode C library: {native.reason()}"


@pytest.fixture(scope="session", autouse=True)
def _reference_tools() -> None:
    """Tests that compare with the reference tools skip where these cannot be had; here is only the reason."""
    try:
        ensure_tools()
        os.environ.setdefault("POWERNODE_COMPOSEFS_ASSETS", str(ensure_assets()))
    except UnavailableError as error:
        print(f"\nno reference tools: {error}")
