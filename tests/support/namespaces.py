# SPDX-License-Identifier: MIT
"""Run something in a namespace of its own. It belongs to a thread and goes away with it: nothing can be left behind.

run_unshared(NETWORK, enter, body)      # `enter` sets the namespace up, `body` is the test
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

MOUNTS = 0x20000
NETWORK = 0x40000000


def run_unshared(namespace: int, enter: Callable[[], None], body: Callable[[], None]) -> None:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(namespace) == -1:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            enter()
            body()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if caught:
        raise caught[0]
