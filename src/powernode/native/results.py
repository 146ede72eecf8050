# SPDX-License-Identifier: MIT
"""The two structures through which the library answers: a buffer it allocated, and a refusal.

with NativeBuffer(library) as image:
    failure = Failure()
    if library.call("pn_…", …, image.handle, failure.handle): raise failure.error(…)
    file.write(image.view())
"""

from __future__ import annotations

import errno
import os
import struct

from powernode.base.errors import DataError, MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from powernode.native import Library


class NativeBuffer:
    """Memory of the library's; views of it are void once the `with` block ends."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.handle = bytearray(24)

    def __enter__(self) -> NativeBuffer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._library.call("pn_buffer_free", self.handle)

    def view(self) -> memoryview:
        address, size, _capacity = struct.unpack("QQQ", self.handle)
        return self._library.view(address, size) if size else memoryview(b"")


class Failure:
    """struct pn_failure: where, code, message."""

    def __init__(self) -> None:
        self.handle = bytearray(8 + 48 + 208)

    @property
    def code(self) -> str:
        return self.handle[8:56].split(b"\0", 1)[0].decode("ascii", "replace")

    @property
    def message(self) -> str:
        return self.handle[56:].split(b"\0", 1)[0].decode("utf-8", "replace")

    def error(self, result: int, unit: str, what: str) -> Exception:
        """The exception for a call that returned `result`; `unit` names what `where` counts ("line", "byte")."""
        if not self.code:
            return OSError(-result, f"{what}: {os.strerror(-result)}")
        where: int = struct.unpack_from("Q", self.handle)[0]
        if result == -errno.ENOMEM:
            return MachineError(self.code, f"{what}: {self.message}")
        return DataError(self.code, f"{what}, {unit} {where}: {self.message}")
