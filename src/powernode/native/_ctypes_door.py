# SPDX-License-Identifier: MIT
"""The same library through ctypes: for interpreters that have no cffi, such as the one in an initramfs."""

from __future__ import annotations

import ctypes

from powernode.native._signatures import SIGNATURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer

_KINDS: dict[str, Any] = {
    "void": None,
    "i32": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
    "ptr": ctypes.c_void_p,
}


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer: the only way to the address of memory we may not write to."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None


class CtypesLibrary:
    door = "ctypes"

    def __init__(self, path: str) -> None:
        self.path = path
        self._library = ctypes.CDLL(path)

    def _function(self, name: str) -> Any:
        function = getattr(self._library, name)
        if function.argtypes is None:
            result, *arguments = SIGNATURES[name].split()
            function.restype = _KINDS[result]
            function.argtypes = [_KINDS[argument] for argument in arguments]
        return function

    def call(self, name: str, *arguments: int | Buffer | None) -> int:
        function = self._function(name)
        held: list[_PyBuffer] = []
        converted: list[int | None] = []
        try:
            for argument in arguments:
                if argument is None or isinstance(argument, int):
                    converted.append(argument)
                else:
                    buffer = _PyBuffer()
                    _get_buffer(argument, ctypes.byref(buffer), 0)
                    held.append(buffer)
                    converted.append(buffer.buf)
            return function(*converted) or 0
        finally:
            for buffer in held:
                _release_buffer(ctypes.byref(buffer))

    def view(self, address: int, size: int) -> memoryview:
        return memoryview((ctypes.c_char * size).from_address(address)).cast("B")
