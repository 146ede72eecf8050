# SPDX-License-Identifier: MIT
"""A long call of the library in a thread of its own, so that this one can report and be interrupted.

The library counts in `counters`, three words of 64 bits: two that only grow, and one that asks it to stop.

Invariants: `progress` is called with the last counts, too; if it raises, the call is over before the exception goes on,
for the call uses memory of ours.

    counters = bytearray(24)
    status = call_watched(library, "pn_…", (…, counters, …), counters, lambda done, size: print(done))
"""

from __future__ import annotations

from contextlib import suppress
from struct import unpack_from
from threading import Event, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from powernode.native import Library

_POLL_S = 0.1


def call_watched(
    library: Library,
    name: str,
    arguments: tuple[int | bytes | bytearray, ...],
    counters: bytearray,
    progress: Callable[[int, int], None],
) -> int:
    status: list[int] = []
    failed: list[BaseException] = []
    over = Event()

    def call() -> None:
        try:
            status.append(library.call(name, *arguments))
        except BaseException as error:
            failed.append(error)
        finally:
            over.set()

    worker = Thread(target=call)
    worker.start()
    try:
        while not over.wait(_POLL_S):
            progress(*unpack_from("QQ", counters))
        progress(*unpack_from("QQ", counters))
    except BaseException:
        counters[16] = 1
        while worker.is_alive():  # however often somebody asks to be let go
            with suppress(KeyboardInterrupt):
                worker.join()
        raise
    worker.join()
    if failed:
        raise failed[0]
    return status[0]
