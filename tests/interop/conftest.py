# SPDX-License-Identifier: MIT
"""The container tools and a registry for the tests of this folder; where they cannot be had, the reason is printed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import oci_peers as support
from support.debian import UnavailableError


@pytest.fixture(scope="session")
def oci_peers() -> support.Peers:
    try:
        return support.peers()
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def docker_registry(oci_peers: support.Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `host:port` of a docker-registry without anything in it; plain HTTP."""
    with support.registry(oci_peers, tmp_path_factory.mktemp("registry")) as address:
        yield address
