# SPDX-License-Identifier: MIT
"""The hash kernels of the C library: which there are, which this CPU can run, how fast each is, and choosing one.

For benchmarks and for people who tune. The library chooses by itself (a race of well under a millisecond before long
work); `use` fixes the choice for the whole process.
"""

from __future__ import annotations

import mmap
import struct
import time

from powernode import native
from powernode.base.errors import MachineError, OperatorError
from powernode.verity.params import ALGORITHM_NUMBERS

ROUNDS = 5
RACE_MAX_KIB = 1 << 20
_ALGORITHMS = {number: name for name, number in ALGORITHM_NUMBERS.items()}


class Kernel:
    __slots__ = ("algorithm", "bytes_per_second", "in_use", "name", "usable")

    def __init__(self, name: str, algorithm: str, usable: bool, in_use: bool) -> None:
        self.name = name
        self.algorithm = algorithm
        self.usable = usable
        self.in_use = in_use
        self.bytes_per_second = 0.0

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def _library() -> native.Library:
    library = native.library()
    if library is None:
        raise MachineError(
            "verity.no-kernels", "there are no hash kernels without the C library", found=native.reason()
        )
    return library


def kernels() -> list[Kernel]:
    library = _library()
    found: list[Kernel] = []
    while True:
        name, algorithm = bytearray(32), bytearray(4)
        state = library.call("pn_verity_kernel", len(found), name, algorithm)
        if state < 0:
            return found
        number: int = struct.unpack("I", algorithm)[0]
        found.append(Kernel(bytes(name).rstrip(b"\0").decode(), _ALGORITHMS[number], state > 0, state == 2))


def use(name: str | None) -> None:
    """Hashes with this kernel from now on, in the whole process; None lets the library choose again."""
    if name is not None and name not in [kernel.name for kernel in kernels() if kernel.usable]:
        usable = ", ".join(kernel.name for kernel in kernels() if kernel.usable)
        raise OperatorError("verity.kernel", "this kernel cannot be used here", expected=usable, found=name)
    _library().call("pn_verity_use_kernel", None if name is None else name.encode() + b"\0")


def race(kib: int, block_size: int = 4096) -> list[Kernel]:
    """Every kernel with its rate over `kib` KiB of warm data, best of a few rounds; the choice in force is kept."""
    if not 0 < kib <= RACE_MAX_KIB:
        raise OperatorError(
            "verity.race",
            "a race needs some data, and not all memory",
            expected=f"1 to {RACE_MAX_KIB} KiB",
            found=str(kib),
        )
    library = _library()
    for number in _ALGORITHMS:
        library.call("pn_verity_calibrate", number)
    found = kernels()
    blocks = kib * 1024 // block_size
    out = bytearray(64 * blocks)
    data = mmap.mmap(-1, kib * 1024)  # blocks lie on page boundaries, as they do when files are hashed
    data.write(bytes(range(256)) * (kib * 4))
    try:
        for kernel in found:
            if kernel.usable:
                use(kernel.name)
                number = ALGORITHM_NUMBERS[kernel.algorithm]
                kernel.bytes_per_second = max(
                    _rate(library, number, block_size, data, blocks, out) for _ in range(ROUNDS)
                )
    finally:
        use(None)
        for kernel in found:
            if kernel.in_use:
                use(kernel.name)
    return found


def _rate(
    library: native.Library, algorithm: int, block_size: int, data: mmap.mmap, blocks: int, out: bytearray
) -> float:
    repeats, before = 0, time.perf_counter()
    while True:
        library.call("pn_verity_blocks", algorithm, block_size, data, blocks, out)
        repeats += 1
        taken = time.perf_counter() - before
        if taken > 0.02:
            return repeats * blocks * block_size / taken
