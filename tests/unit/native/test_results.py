# SPDX-License-Identifier: MIT
"""What the library allocates is seen without a copy and freed; a refusal becomes the exception of whoever must act."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from powernode.base.errors import DataError, MachineError
from powernode.native.results import Failure, NativeBuffer

if TYPE_CHECKING:
    from powernode.native import Library

DUMP = b"/ 0 40755 2 0 0 0 0.0 - - -\n"


def image(library: Library, dump: bytes, buffer: NativeBuffer, failure: Failure) -> int:
    return library.call(
        "pn_composefs_image_from_dump", dump, len(dump), 0, 0, 0, buffer.handle, failure.handle
    )  # fmt: skip


def test_a_buffer_is_seen_and_freed(library: Library) -> None:
    with NativeBuffer(library) as buffer:
        assert len(buffer.view()) == 0
        assert image(library, DUMP, buffer, Failure()) == 0
        view = buffer.view()
        assert len(view) == struct.unpack("QQQ", buffer.handle)[1]
        assert len(view) % 4096 == 0
        assert bytes(view[1024:1028]) == b"\xe2\xe1\xf5\xe0"  # the magic number of EROFS
        del view
    assert buffer.handle[:16] == bytes(16)
    assert len(buffer.view()) == 0


def test_a_view_is_bytes_whatever_the_door(library: Library) -> None:
    with NativeBuffer(library) as buffer:
        assert image(library, DUMP, buffer, Failure()) == 0
        view = buffer.view()
        assert (view.ndim, view.itemsize, view.nbytes, view[1024]) == (1, 1, len(view), 0xE2)
        assert bytes(view) == view.tobytes()
        del view


def test_a_buffer_is_freed_after_an_exception(library: Library) -> None:
    def fail() -> None:
        with NativeBuffer(library) as buffer:
            kept.append(buffer)
            assert image(library, DUMP, buffer, Failure()) == 0
            raise KeyError

    kept: list[NativeBuffer] = []
    with pytest.raises(KeyError):
        fail()
    assert kept[0].handle[:16] == bytes(16)


def test_a_refusal(library: Library) -> None:
    failure = Failure()
    with NativeBuffer(library) as buffer:
        status = image(library, DUMP + b"nonsense\n", buffer, failure)
        assert status == -errno.EINVAL
        assert len(buffer.view()) == 0
    error = failure.error(status, "line", "some.dump")
    assert isinstance(error, DataError)
    assert error.code == failure.code
    assert failure.code.startswith("dump.")
    assert error.message.startswith("some.dump, line 2: ")


def failure_of(where: int, code: bytes, message: bytes) -> Failure:
    failure = Failure()
    struct.pack_into("Q48s208s", failure.handle, 0, where, code, message)
    return failure


def test_a_status_without_a_code_is_the_errno() -> None:
    error = Failure().error(-errno.EACCES, "line", "/x")
    assert isinstance(error, OSError)
    assert error.errno == errno.EACCES
    assert str(error) == "[Errno 13] /x: Permission denied"


def test_no_memory_is_this_machine() -> None:
    error = failure_of(0, b"image.memory", b"no memory").error(-errno.ENOMEM, "byte", "x")
    assert isinstance(error, MachineError)
    assert (error.code, error.message) == ("image.memory", "x: no memory")


def test_strings_end_at_the_first_nul_and_may_fill_their_room() -> None:
    failure = failure_of(7, b"a.b\0rest", b"m" * 208)
    error = failure.error(-errno.EINVAL, "byte", "x")
    assert isinstance(error, DataError)
    assert (error.code, error.message) == ("a.b", "x, byte 7: " + "m" * 208)
    assert failure_of(0, b"c" * 48, b"").code == "c" * 48


def test_messages_hold_bytes_of_the_input_which_may_not_be_utf8() -> None:
    error = failure_of(1, b"a.b", b"name \xff").error(-errno.EINVAL, "line", "x")
    assert str(error) == "x, line 1: name \N{REPLACEMENT CHARACTER}"
