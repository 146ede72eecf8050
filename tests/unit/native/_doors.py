# SPDX-License-Identifier: MIT
"""The ways into the implementation, for tests that must hold through each: plain Python, cffi, ctypes.

POWERNODE_NATIVE of the whole run decides what a missing door means: `off` and `auto` skip and say so, `require` fails.

    with through("cffi") as library: ...     # None for "pure"
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from powernode import native
from powernode.base.errors import MachineError

if TYPE_CHECKING:
    from powernode.native import Library

NATIVE_DOORS = ("cffi", "ctypes")
DOORS = ("pure", *NATIVE_DOORS)


@contextmanager
def through(door: str) -> Iterator[Library | None]:
    """Everything inside goes through this door."""
    whole_run = os.environ.get("POWERNODE_NATIVE", "auto")
    with pytest.MonkeyPatch.context() as patch:
        if door == "pure":
            patch.setenv("POWERNODE_NATIVE", "off")
        elif whole_run == "off":
            pytest.skip(f"no {door} door: POWERNODE_NATIVE=off")
        else:
            patch.setenv("POWERNODE_NATIVE_DOOR", door)
        native.reset()
        try:
            yield _opened(door)
        finally:
            native.reset()


def _opened(door: str) -> Library | None:
    try:
        library = native.library()
    except MachineError as error:
        if error.code == "native.missing" and os.environ.get("POWERNODE_NATIVE", "auto") == "auto":
            pytest.skip(f"no {door} door: {error}")
        pytest.fail(f"no {door} door: {error}", pytrace=False)
    if door == "pure":
        assert library is None
        return None
    if library is None:
        pytest.skip(f"no {door} door: {native.reason()}")
    assert library.door == door
    return library


def kernel_names() -> list[str]:
    """Every hash kernel this CPU can run, for parametrisation; one that skips where there is no library."""
    from powernode.verity import kernels

    if native.library() is None:
        return ["no library"]
    return [kernel.name for kernel in kernels.kernels() if kernel.usable]
