# SPDX-License-Identifier: MIT
"""For the whole suite: says which library is under test and makes the reference tools known."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings

from powernode import native
from powernode.base.errors import MachineError
from support.debian import UnavailableError
from support.peers import ensure_assets, ensure_tools

# How long an example takes says more about what else the machine does than about us.
settings.register_profile("powernode", deadline=None)
settings.load_profile("powernode")


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


@contextmanager
def _signatures_if_possible() -> Iterator[None]:
    """Only libcrypto says whether a signature is right, and the C library asks it: there is no second way to test."""
    try:
        yield
    except MachineError as error:
        if error.code == "trust.no-native" and native.library() is None:
            pytest.skip(f"signatures need the C library: {native.reason()}")
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    with _signatures_if_possible():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    with _signatures_if_possible():
        yield
