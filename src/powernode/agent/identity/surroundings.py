# SPDX-License-Identifier: MIT
"""What the sources may touch, all of it handed in: a root to read below, a clock, and the ports that act.

A source has a `Deadline`; whatever may wait asks it how long. Files are read whole, bounded, and only if they are
files.

    around = Surroundings(root="/", clock=time.monotonic, sleep=time.sleep)
    around.read("proc/cmdline", 65536)      # bytes, or None when there is no such file
"""

from __future__ import annotations

import os
import stat

from powernode.base.errors import DataError, MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Network(Protocol):
        """Brings a link up with an IPv4 link-local route at the least; no-op when there is one. Raises MachineError."""

        def __call__(self, timeout_s: float) -> None: ...

    class BootPartition(Protocol):
        """Reads a file from the root folder of the FAT filesystem labelled BOOT, mounted or not.

        At most `limit` bytes; None when the partition has no such file; MachineError `identity.no-partition` when there
        is no such partition.
        """

        def __call__(self, name: str, limit: int, timeout_s: float) -> bytes | None: ...


LIMIT = 64 * 1024
METADATA_ADDRESS = ("169.254.169.254", 80)


class DeadlineError(Exception):
    """The time of a source is used up. Stays inside this package: the cascade makes an Attempt of it."""


class Deadline:
    """A point on the clock that was handed in."""

    __slots__ = ("_clock", "_end")

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds left, more than zero; raises DeadlineError instead of returning none."""
        left = self._end - self._clock()
        if left <= 0:
            raise DeadlineError
        return left

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and one that many seconds from now."""
        return Deadline(self._clock, min(seconds, self.remaining()))


class Surroundings:
    """Immutable by convention. `network` and `boot_partition` may be missing; the sources in need of them say so."""

    __slots__ = ("boot_partition", "clock", "metadata", "network", "root", "sleep")

    def __init__(
        self,
        *,
        root: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        network: Network | None = None,
        boot_partition: BootPartition | None = None,
        metadata: tuple[str, int] = METADATA_ADDRESS,
    ) -> None:
        self.root = root
        self.clock = clock
        self.sleep = sleep
        self.network = network
        self.boot_partition = boot_partition
        self.metadata = metadata

    def path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def read(self, name: str, limit: int = LIMIT) -> bytes | None:
        """The content of an ordinary file; None when there is none."""
        return read_bounded(self.path(name), limit)

    def names(self, name: str) -> list[str]:
        """The sorted names in a directory; empty when there is none."""
        try:
            return sorted(os.listdir(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unreadable(self.path(name), error) from error


def read_bounded(path: str, limit: int) -> bytes | None:
    try:
        # Without O_NONBLOCK a FIFO in the place of the file would hold up the boot for ever.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise DataError("identity.not-a-file", f"{path} is not an ordinary file")
        data = b""
        while len(data) <= limit and (chunk := os.read(fd, limit + 1 - len(data))):
            data += chunk
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(fd)
    if len(data) > limit:
        raise DataError("identity.too-large", f"{path} is too large", expected=f"at most {limit} bytes")
    return data


def _unreadable(path: str, error: OSError) -> MachineError:
    return MachineError("identity.unreadable", f"{path} cannot be read: {error.strerror}")
