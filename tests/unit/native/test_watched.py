# SPDX-License-Identifier: MIT
"""Calls that are watched: what they report, how they end."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest

from powernode.native.watched import call_watched

if TYPE_CHECKING:
    from powernode.native import Library


class Door:
    """Stands for the library."""

    def __init__(self, work: Callable[[bytearray], int]) -> None:
        self._work = work

    def call(self, name: str, *arguments: bytearray) -> int:
        assert name == "pn_work"
        return self._work(arguments[0])


def watch(work: Callable[[bytearray], int], progress: Callable[[int, int], None]) -> int:
    counters = bytearray(24)
    return call_watched(cast("Library", Door(work)), "pn_work", (counters,), counters, progress)


def test_who_is_done_at_once_is_reported_too() -> None:
    told: list[tuple[int, int]] = []

    def work(counters: bytearray) -> int:
        struct.pack_into("QQ", counters, 0, 3, 500)
        return -7

    assert watch(work, lambda *counts: told.append(counts)) == -7
    assert told[-1] == (3, 500)


def test_the_call_is_over_before_the_exception_goes_on() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(counters: bytearray) -> int:
        begun.set()
        while not counters[16]:
            pass
        ended.set()
        return 0

    def stop(done: int, size: int) -> None:
        assert begun.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(work, stop)
    assert ended.is_set()


def test_an_exception_in_the_call_is_the_callers() -> None:
    def work(counters: bytearray) -> int:
        raise MemoryError("no room for the arguments")

    with pytest.raises(MemoryError, match="no room"):
        watch(work, lambda *counts: None)
